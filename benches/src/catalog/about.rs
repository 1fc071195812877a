//! A paragraph per family: what it stresses, and where the idea comes from.

/// The paragraph of `family`; empty for a family that does not exist.
pub(super) fn of(family: &str) -> &'static str {
    match family {
        "pair" => {
            "One malloc, one write, one free, again and again, always of one size. It shows the \
             length of the two fast paths and nothing else: the block is the one just freed, so \
             caches and page tables stay warm. Every allocator's authors measure this first; no \
             program behaves like it. With more threads than CPUs it shows what a fast path loses \
             when the thread is moved or preempted."
        }
        "simple" => {
            "After bench-malloc-simple of the GNU C library: a few blocks of one size are \
             allocated and then freed in the same order, repeated over sizes from 16 to 512 \
             bytes. The number of blocks decides whether a small cache per thread suffices. \
             `in-company` does the same in a process that has a second thread, since some \
             allocators take shortcuts while there is only one."
        }
        "batch" => {
            "A batch of blocks of 64 bytes is allocated, then freed: in order, in reverse, or \
             shuffled. From a hundred blocks, which any front-end cache holds, to a million, which \
             none does: then the speed of moving whole groups between the levels counts, and how \
             the order of frees scatters the next batch over memory. The untouched form shows \
             whether the allocator itself reads or writes the cold blocks."
        }
        "random" => {
            "Blocks of random size in random slots: each step frees one block and allocates \
             another, so that lifetimes are spread widely. The small mix is log-uniform from 16 to \
             4,096 bytes; the wide one from 1 byte to 32 KiB with one request in 200 up to 1 MiB, \
             which keeps the level behind the caches busy. Every block carries a tag at both ends \
             that is checked when it is freed. A plain model of a program with a live set."
        }
        "alloc-test" => {
            "After alloc-test by OLogN Technologies (IT Hare): random slots are filled and \
             emptied, with both the slot and the size skewed as in practice, a few slots taking \
             most of the traffic (the 80:20 rule, applied again and again) and sizes to 1,024 \
             bytes halving in frequency with each doubling. Every block is written in full and \
             read in full before it is freed, so that locality counts."
        }
        "prodcons" => {
            "After xmalloc (Lever and Boreham): blocks allocated by producers are freed by \
             consumers, handed over in crates of 512 through bounded queues. No thread frees what \
             it allocated, which defeats caches that count on it: memory has to flow back from \
             consumers to producers. 1x3 is lopsided, 4x4 and 32x32 are oversubscribed on a small \
             machine."
        }
        "larson" => {
            "After Larson and Krishnan's model of a server: each thread replaces random blocks of \
             its array, then starts a successor, leaves it the array with all blocks in it and \
             ends. So blocks outlive the thread that allocated them, and what an allocator \
             keeps per thread has to be taken over, given up or found again."
        }
        "mstress" => {
            "After mimalloc's test-stress: threads with unequal shares of work allocate arrays \
             that are mostly small and rarely huge, free at random, keep some to the end, and swap \
             others with one another over a shared board; then new threads start over. Every word \
             of every array is checked. Lifetimes are uneven and ownership changes hands, which \
             tests memory as much as time."
        }
        "rptest" => {
            "After rpmalloc's benchmark: each thread frees and refills scattered slots of its own \
             array with sizes from 8 to 16,000 bytes, and every second turn sends a parcel of \
             fresh blocks to its neighbour, who frees them: a mix of local and remote frees over \
             many size classes."
        }
        "sh6" => {
            "After MicroQuill's SmartHeap test 6: sizes cycle upwards with small ones more often; \
             when a buffer of blocks is full, all but a window that moves round it are freed, the \
             lower part in order and the upper in reverse. Patterns of age and address that a \
             simple free list does not foresee."
        }
        "sh8" => {
            "After MicroQuill's SmartHeap test 8: as sh6 with random sizes, and a third of each \
             thread's blocks go over a shared board to be freed by whoever takes them."
        }
        "cache-scratch" => {
            "Hoard's test for passive false sharing: blocks of 8 bytes that the main thread \
             allocated side by side are given to the threads, which free them and then allocate \
             and write blocks of 8 bytes of their own. An allocator that gives the freed neighbour \
             out again lets threads share a cache line which the program never shared."
        }
        "cache-thrash" => {
            "Hoard's test for active false sharing: every thread allocates 8 bytes, writes them a \
             hundred times and frees them. An allocator that carves one cache line up for several \
             threads makes them slow each other down."
        }
        "large" => {
            "Blocks of 40 KiB to 4 MiB, a hundred of them live, one replaced at a time. Here the \
             kernel's part dominates: page faults, mmap and munmap, and whether freed pages are \
             kept. `touched` writes every page as a reader of files would; `untouched` leaves the \
             allocator's own work alone."
        }
        "grow" => {
            "realloc of a vector from nothing to 16 MiB: by doubling, as vectors in most languages \
             grow, and by one word at a time, as careless C programs do. It shows whether large \
             blocks are moved by page tables or copied, and what a realloc that need not move \
             costs."
        }
        "calloc" => {
            "calloc in a ring of live blocks whose memory comes back dirty: the allocator has to \
             clear it, to know that it is fresh, or to have the kernel do it. Zeroes are checked \
             on every page, then the pages are written."
        }
        "aligned" => {
            "posix_memalign at a cache line and at a page, with sizes of 16 to 4,096 bytes and a \
             thousand blocks live, one replaced at a time. Shows what alignment costs in time and \
             in memory."
        }
        "churn" => {
            "A hundred thousand short threads, four alive at a time; each allocates a hundred \
             blocks, frees them and ends. What an allocator sets up and tears down per thread is \
             paid every time, as by a server that starts a thread for each connection."
        }
        "mleak" => {
            "After mimalloc's mleak: five thousand threads, ten at a time, each of which leaves \
             one block of 128 bytes on a shared board, frees the one that it finds there and \
             ends. A block outlives its thread; an allocator whose memory belongs to threads has \
             to adopt what the dead leave, or its memory grows with their number."
        }
        "leak-at-exit" => {
            "Short processes that allocate twenty thousand blocks and exit without freeing any, \
             as compilers and command-line tools do. Start-up, the first use of fresh memory and \
             the exit are all in the figure; in the form with 8 threads these still hold their \
             memory when the process goes. Caches that only pay off later do not help here."
        }
        "latency" => {
            "Every single malloc and free is timed and counted in a histogram: means hide the \
             rare call that refills a cache, takes a lock or asks the kernel. The figures contain \
             one reading of the clock, whose own cost is measured in the same run and stated; \
             nothing is subtracted, and some CPUs' counters advance in steps of 10 ns. With 8 threads on fewer CPUs the tail also holds the times in \
             which a thread was preempted in the middle of a call, alike for everyone."
        }
        "once" => {
            "A C program that allocates one block: what an allocator costs a process that hardly \
             uses it, in resident memory."
        }
        "idle" => {
            "A thousand threads that were busy, at most four at a time, and now wait: what stays \
             resident? In threads1000 they never allocated (the cost of the threads alone), in \
             idle1000 each freed 97 % of its 250 KiB, in live1000 it freed nothing. Servers with \
             a pool of threads look like this most of the time; caches per thread keep memory \
             that nobody can use."
        }
        "burst" => {
            "A peak of 512 MiB in small blocks, all freed, then two seconds with a few allocations \
             every 10 ms, then two seconds of silence: what goes back to the system, and when? \
             Taken at the peak, after the frees, after the trickle and after the silence, and \
             watched over time."
        }
        "drift" => {
            "Fragmentation over time: a live set of constant bytes whose sizes drift from small \
             to large and back while blocks are replaced at random, with a few that stay for \
             long. Space freed in yesterday's sizes has to serve today's; the figure is what \
             stays resident for the same live bytes. Long-running caches and servers meet this; \
             the effect is as described by Johnstone and Wilson, and in Redis's and Firefox's \
             histories."
        }
        "program" => {
            "A real program under each allocator: its wall and CPU time and its peak memory, its \
             output compared with the first run's. Allocation is only a part of what it does, so \
             factors are small here, and the more telling."
        }
        _ => "",
    }
}
