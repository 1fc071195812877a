// The forms of operator new and delete, by their numbers. A block of a form goes back by any way
// of the same half: 0 to 3 without alignment, 4 to 7 with it.
//
//   form   0 new       1 new[]       2 new, nothrow   3 new[], nothrow       4 … 7 aligned
//   way    0 delete    1 delete[]    2 sized          3 sized []
//          4 nothrow   5 nothrow []
#ifndef CIDALLOC_TESTS_FORMS_H
#define CIDALLOC_TESTS_FORMS_H

#include <cstddef>
#include <new>

constexpr unsigned FORMS = 8, WAYS = 6;

inline void *make(unsigned form, size_t size, size_t alignment = 0) {
    std::align_val_t at{alignment};
    switch (form) {
    case 0: return ::operator new(size);
    case 1: return ::operator new[](size);
    case 2: return ::operator new(size, std::nothrow);
    case 3: return ::operator new[](size, std::nothrow);
    case 4: return ::operator new(size, at);
    case 5: return ::operator new[](size, at);
    case 6: return ::operator new(size, at, std::nothrow);
    default: return ::operator new[](size, at, std::nothrow);
    }
}

inline void unmake(unsigned form, unsigned way, void *block, size_t size, size_t alignment = 0) {
    std::align_val_t at{alignment};
    switch (form < 4 ? way : way + WAYS) {
    case 0: ::operator delete(block); break;
    case 1: ::operator delete[](block); break;
    case 2: ::operator delete(block, size); break;
    case 3: ::operator delete[](block, size); break;
    case 4: ::operator delete(block, std::nothrow); break;
    case 5: ::operator delete[](block, std::nothrow); break;
    case 6: ::operator delete(block, at); break;
    case 7: ::operator delete[](block, at); break;
    case 8: ::operator delete(block, size, at); break;
    case 9: ::operator delete[](block, size, at); break;
    case 10: ::operator delete(block, at, std::nothrow); break;
    default: ::operator delete[](block, at, std::nothrow);
    }
}

#endif
