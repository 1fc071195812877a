//! C++ over the library: every form of `operator new` and `operator delete`, the new-handler,
//! `std::bad_alloc`, containers, exceptions and threads.
//!
//! ```text
//!   forms.cc        new and delete in all their forms; failure by handler, exception, null
//!   containers.cc   what the standard library does with them, alone and in threads
//!   replaced_….cc   programs that replace one form, a pair, the aligned forms, or malloc itself
//! ```
//!
//! Whether the operators come from libstdc++ over our `malloc` or from the library itself
//! makes no difference here.

use cidalloc_tests::passes;

macro_rules! cases {
    ($source:literal: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                passes(concat!("conformance/cxx/", $source), stringify!($case));
            }
        )*
    };
}

cases! { "forms.cc":
    every_form_gives_distinct_usable_blocks
    aligned_forms_keep_their_alignment
    sized_delete_takes_every_size
    zero_sized_objects_are_distinct
    delete_of_null_does_nothing
    too_large_new_throws_bad_alloc
    nothrow_new_returns_null
    array_length_overflow_throws
    new_handler_is_called_until_it_gives_up
    new_handler_may_throw
    constructor_that_throws_gives_its_memory_back
    class_operators_are_preferred
}

cases! { "containers.cc":
    containers_keep_their_content
    strings_and_streams_work
    polymorphic_objects_die_through_their_base
    shared_objects_cross_threads
    exceptions_carry_heap_memory_across_threads
    over_aligned_elements_stay_aligned_in_vectors
    pmr_resources_draw_from_new_and_delete
    thread_local_objects_free_at_thread_exit
}

cases! { "replaced_new.cc":
    forms_without_alignment_call_the_replaced_new
    default_deletes_give_its_blocks_back
}

cases! { "replaced_pair.cc":
    every_delete_without_alignment_calls_the_replaced_one
    aligned_forms_call_neither
    the_standard_library_uses_the_pair
}

cases! { "replaced_aligned.cc":
    every_aligned_form_calls_the_replaced_ones
    forms_without_alignment_call_neither
    over_aligned_types_use_them
}

cases! { "replaced_malloc.cc":
    every_default_new_and_delete_uses_the_programs_malloc
    other_frees_use_the_programs_free
    reallocarray_uses_the_programs_realloc
    threads_and_containers_use_the_programs_malloc
}
