// (see the header)
