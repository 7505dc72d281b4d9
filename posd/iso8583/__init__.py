"""The ISO 8583 codec: fields as data, compiled to a decoder and an encoder for each bitmap."""
