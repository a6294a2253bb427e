// What a library is linked into to see that it names all it needs (herd_build.cmake).
int main() {}
