/* Feeds files to a fuzz target, for compilers without libFuzzer: replays the corpus and every crash ever found. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) return perror(path), 1;
    const long size = ftell(file);
    if (size < 0) return perror(path), 1;
    rewind(file);
    uint8_t *data =
        malloc(size > 0 ? (size_t)size : 1); /* exact, so that ASan sees a read past the end */
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) return perror(path), 1;
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        if (replay(argv[i])) return 1;
    }
    printf("%d inputs ok\n", argc);
    return 0;
}
