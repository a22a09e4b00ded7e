import CSystem

/// Runs the parts of one piece of work on the calling thread and its helpers.
///
/// How work is cut into parts depends on its shape only, never on the number of threads: each part computes the same bits
/// whoever takes it, so results do not change with the thread count.
struct ParallelPool {
    let threads: Int

    /// Calls `body(index, thread)` once for each index below `count`; `thread` is below `threads`. `body` runs on several
    /// threads at once and must only write to what belongs to its index or its thread.
    func run(_ count: Int, _ body: (_ index: Int, _ thread: Int) -> Void) {
        withoutActuallyEscaping(body) { escapable in
            var work = escapable
            withUnsafeMutablePointer(to: &work) { pointer in
                csystem_parallel_for(
                    count, UInt32(threads),
                    { context, index, thread in
                        context!.assumingMemoryBound(to: ((Int, Int) -> Void).self).pointee(index, thread)
                    }, pointer)
            }
        }
    }

    /// Cuts `total` items into runs of `chunk` and calls `body(first, count, thread)` for each.
    func run(total: Int, chunk: Int, _ body: (_ first: Int, _ count: Int, _ thread: Int) -> Void) {
        run((total + chunk - 1) / chunk) { index, thread in
            body(index * chunk, min(chunk, total - index * chunk), thread)
        }
    }
}
