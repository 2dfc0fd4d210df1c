"""Results → the formats that grid tools and analysts read: one module per format."""
