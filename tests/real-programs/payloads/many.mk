# D: no times and owners in the archive, so that it comes out the same whenever it is made.
SOURCES := $(sort $(wildcard f*.c))
OBJECTS := $(SOURCES:.c=.o)

main: main.o many.a
	gcc -Wl,--build-id=none -o $@ $^

many.a: $(OBJECTS)
	ar rcsD $@ $^

%.o: %.c
	gcc -O1 -g -c -o $@ $<
