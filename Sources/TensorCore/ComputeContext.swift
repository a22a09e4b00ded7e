import CKernels
import CSystem

/// Computes on tensors with one backend and a fixed number of threads.
///
/// One thread uses a context: it is not `Sendable`, and its tensors share its memory pool. Results are the same bits for any
/// number of threads.
public final class ComputeContext {
    public let threads: Int
    let backend: any ComputeBackend
    let pool: ParallelPool
    let kernels: UnsafePointer<ck_kernels>
    let scratch: ThreadScratch
    let memory = BufferPool()
    /// Called before each operation, on the thread that uses the context: how a long computation shows that it moves.
    public var whenAdvancing: (() -> Void)?

    /// The most threads a context accepts.
    public static let threadLimit = 1024

    /// - Parameters:
    ///   - backend: the compute library; `auto` chooses by what the CPU is.
    ///   - threads: how many threads compute, this one included; at least 1.
    ///   - kernelSet: the instruction set of our own kernels by name (`baseline`, `avx2`, `avx512`); `nil` is the best that the
    ///     CPU runs.
    /// - Throws: `ComputeError` for a thread count out of range, a library that does not start or an unknown kernel set.
    public init(backend choice: BackendChoice = .auto, threads: Int, kernelSet: String? = nil) throws(ComputeError) {
        guard (1...ComputeContext.threadLimit).contains(threads) else {
            throw ComputeError("\(threads) threads are not possible: choose 1 to \(ComputeContext.threadLimit)")
        }
        self.threads = threads
        pool = ParallelPool(threads: threads)
        scratch = ThreadScratch(threads: threads)
        kernels = try ComputeContext.kernels(named: kernelSet)
        switch choice.resolved {
        case .openblas: backend = OpenBLASBackend(pool: pool, kernels: kernels, scratch: scratch)
        default: backend = try OneDNNBackend(threads: threads)
        }
    }

    /// A context for building networks from the shapes of their weights, whose values are never looked at; computing in it
    /// throws.
    public static func forShapes() -> ComputeContext { ComputeContext(ShapeBackend()) }

    private init(_ backend: any ComputeBackend) {
        threads = 1
        pool = ParallelPool(threads: 1)
        scratch = ThreadScratch(threads: 1)
        kernels = ck_kernels_best()
        self.backend = backend
    }

    /// `onednn` or `openblas`.
    public var backendName: String { backend.name }

    /// What decides the last bits of a result: architecture, instruction sets, precision and library versions. Machines of
    /// equal class compute equal bytes.
    public var numericsClass: String {
        #if arch(x86_64)
            let architecture = "x86_64"
        #elseif arch(arm64)
            let architecture = "arm64"
        #else
            let architecture = "other"
        #endif
        return "\(architecture)-\(String(cString: kernels.pointee.name))-f32-\(backend.identity)"
    }

    /// Multiplications and additions of all matrix products, convolutions, attention and token matching so far: two for each
    /// product that is added up.
    ///
    /// Counted from shapes alone, so that it is equal for every backend, kernel set and number of threads. Products with the
    /// zeros around an image count, those of pairs that a causal mask hides do not; nor do biases, activations and norms.
    public private(set) var operations: UInt64 = 0

    /// Counts products that are added up.
    func count(products: Int) { operations &+= 2 &* UInt64(max(0, products)) }

    /// The most bytes of activations that were in use at once so far, or since the last `forgetPeak`.
    public var peakActivationBytes: Int { memory.peakLiveBytes }

    /// From now on the peak is that of what follows.
    public func forgetPeak() { memory.forgetPeak() }

    /// Bytes of buffers that are kept for later activations.
    public var idleActivationBytes: Int { memory.idleBytes }

    /// Gives idle activation buffers back to the system.
    public func trimMemory() { memory.trim() }

    /// The instruction sets of our own kernels that this CPU runs, slowest first.
    public static var kernelSets: [String] {
        var names: [String] = []
        while let table = ck_kernels_at(names.count) { names.append(String(cString: table.pointee.name)) }
        return names
    }

    /// Multiplications and additions after which a sign of progress is due: longer operations are cut into slices. A slow core
    /// does this many in a few seconds.
    var operationsPerSlice = 200_000_000_000

    /// An uninitialised tensor from the context's memory.
    public func empty(_ shape: [Int], of type: ElementType = .f32) -> Tensor {
        whenAdvancing?()
        let bytes = Tensor.elementCount(shape) * type.byteCount
        return Tensor(shape: shape, elementType: type, storage: memory.allocate(byteCount: bytes))
    }

    private static func kernels(named name: String?) throws(ComputeError) -> UnsafePointer<ck_kernels> {
        guard let name else { return ck_kernels_best() }
        guard let index = kernelSets.firstIndex(of: name), let table = ck_kernels_at(index) else {
            throw ComputeError(
                "The kernel set '\(name)' is not one this CPU runs: choose one of \(kernelSets.joined(separator: ", "))")
        }
        return table
    }
}
