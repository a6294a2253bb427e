// A library that has nothing to do with herd.
extern "C" int foreign() { return 1; }
