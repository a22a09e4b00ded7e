import CSystem

/// Runs the parts of one piece of work on the calling thread and its helpers.
///
/// It decides only which thread computes a part. Callers cut their work so that no sum depends on the cut.
package struct ParallelPool {
    let threads: Int
    /// Whether it leaves all work undone.
    let rehearses: Bool

    /// - Parameters:
    ///   - threads: the most that run at once, the calling one included; at least 1.
    ///   - rehearses: leaves all work undone.
    package init(threads: Int, rehearses: Bool = false) { (self.threads, self.rehearses) = (threads, rehearses) }

    /// Calls `body(index, thread)` once for each index below `count`; `thread` is below `threads`. `body` runs on several
    /// threads at once and may write only to data of its index or its thread.
    package func run(_ count: Int, _ body: (_ index: Int, _ thread: Int) -> Void) {
        guard !rehearses else { return }
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
