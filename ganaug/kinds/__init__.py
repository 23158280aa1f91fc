"""The kinds of data, each in the file that its schema's ``kind`` names."""
