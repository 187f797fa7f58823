"""Opening: networks written as classes become graphs of ordinary layers."""
