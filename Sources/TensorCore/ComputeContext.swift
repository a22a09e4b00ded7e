import CKernels
import CSystem

/// Computes on tensors with one backend and a fixed number of threads.
///
/// Only one thread may use a context, as its tensors share its memory pool. Results are the same bits for any number of
/// threads.
public final class ComputeContext {
    public let threads: Int
    /// The element type of the weights and activations of the networks in this context: f32 or bf16.
    public let precision: ElementType
    /// Whether it computes nothing. Operations take the memory of their results and leave it untouched, so it costs little.
    public var rehearses: Bool { pool.rehearses }
    /// Whether memory that nobody touches costs nothing here. Limits of addresses (`ulimit -v`) count it, and so does a system
    /// that promises no more memory than it has (`vm.overcommit_memory=2`).
    public static var canRehearse: Bool { MemoryRange.addressLimit() > 1 << 46 && !MemoryRange.countsPromises() }
    let backend: any ComputeBackend
    let pool: ParallelPool
    let kernels: UnsafePointer<ck_kernels>
    let scratch: ThreadScratch
    let memory = BufferPool()
    /// Computes some 3×3 convolutions in place of the backend; nil with OpenBLAS.
    private let winograd: WinogradConvolutions?
    /// Called before each operation, on the thread of the context, to show progress.
    public var whenAdvancing: (() -> Void)?
    /// Asked before each matrix product and convolution, and between the slices of a long operation, on the thread of the
    /// context. After a false answer products and convolutions throw an error that `isStopped`, attention and the matching of
    /// tokens leave out the rest of their work, and nothing is asked any more. nil means that every result is wanted.
    public var isWanted: (() -> Bool)? { didSet { isStopped = false } }
    /// Whether `isWanted` gave false. Results since then mean nothing.
    public private(set) var isStopped = false
    /// Called before each operation that `tracing` records.
    var trace: ((TracedOperation) -> Void)?

    /// The most threads a context accepts.
    public static let threadLimit = 1024

    /// - Parameters:
    ///   - backend: the compute library; `auto` chooses by the CPU.
    ///   - threads: how many threads compute, this one included; at least 1.
    ///   - kernelSet: the instruction set of our own kernels by name (`baseline`, `avx2`, `avx512`, `avx512_bf16`,
    ///     `amx_bf16`; for tests also `amx_bf16_model`); `nil` for the CPU's best.
    ///   - precision: the arithmetic of the networks; `auto` chooses by the CPU.
    ///   - rehearses: computes nothing, to learn the memory of a network for any shapes at once. Results have no values.
    /// - Throws: `ComputeError` for a thread count out of range, a library that does not start, an unknown kernel set or a
    ///   precision that the library does not have here.
    public init(
        backend choice: BackendChoice = .auto, threads: Int, kernelSet: String? = nil, precision: PrecisionChoice = .f32,
        rehearses: Bool = false
    ) throws(ComputeError) {
        guard (1...ComputeContext.threadLimit).contains(threads) else {
            throw ComputeError("\(threads) threads are not possible: choose 1 to \(ComputeContext.threadLimit)")
        }
        self.threads = threads
        pool = ParallelPool(threads: threads, rehearses: rehearses)
        scratch = ThreadScratch(threads: threads)
        kernels = try ComputeContext.kernels(named: kernelSet)
        self.precision = try precision.resolved(choice)
        switch choice.resolved {
        case .onednn:
            // Winograd's convolutions of bf16 take their products from the same object as those of f32.
            let library = try OneDNNBackend(pool: pool, kernels: kernels, scratch: scratch)
            backend = library
            winograd = WinogradConvolutions(
                try library.products(of: [.f32]), types: library.instructionSet.winogradTypes, pool: pool, kernels: kernels,
                memory: memory)
        case .openblas:
            backend = OpenBLASBackend(pool: pool, kernels: kernels, scratch: scratch)
            // Every convolution stays the direct sum here, so that others can be compared with it.
            winograd = nil
        case .auto: preconditionFailure("a resolved backend is never auto")
        }
    }

    /// A context for building networks from the shapes of their weights alone. Computing in it throws.
    public static func forShapes() -> ComputeContext { ComputeContext(ShapeBackend()) }

    private init(_ backend: any ComputeBackend) {
        threads = 1
        precision = .f32
        pool = ParallelPool(threads: 1)
        scratch = ThreadScratch(threads: 1)
        kernels = ck_kernels_best()
        self.backend = backend
        winograd = nil
    }

    /// Whether somebody still wants the result.
    func goesOn() -> Bool {
        if !isStopped, let isWanted, !isWanted() { isStopped = true }
        return !isStopped
    }

    /// Throws if nobody wants the result any more. Call it before a result is kept that no product has read.
    public func checkIsWanted() throws(ComputeError) {
        guard goesOn() else { throw .stopped }
    }

    /// The products for tensors of these element types.
    ///
    /// - Throws: if the types differ or the library does not support them.
    func products(of types: [ElementType]) throws(ComputeError) -> any MatrixProducts {
        let products = try backend.products(of: types)
        guard let winograd, winograd.products === products else { return products }
        return winograd
    }

    /// `onednn` or `openblas`.
    public var backendName: String { backend.name }

    /// Architecture, instruction sets, precision and library versions. Machines of the same class compute the same bytes.
    public var numericsClass: String { "\(instructionSets)-\(precision)-\(products)" }

    /// Architecture, instruction sets and library version. Contexts of the same class pack weights into the same bytes.
    public var packingClass: String { "\(instructionSets)-\(products)" }

    /// The library, and our own algorithm before it.
    private var products: String {
        winograd?.types.contains(precision) == true ? "\(backend.identity)-winograd" : backend.identity
    }

    private var instructionSets: String {
        #if arch(x86_64)
            let architecture = "x86_64"
        #elseif arch(arm64)
            let architecture = "arm64"
        #else
            let architecture = "other"
        #endif
        return "\(architecture)-\(String(cString: kernels.pointee.name))"
    }

    /// Multiplications and additions so far, in matrix products, convolutions, attention and token matching.
    ///
    /// Shapes alone decide the count, so every backend, kernel set and number of threads gives the same. It includes products
    /// with the zeros around an image. It leaves out pairs hidden by a causal mask, biases, activations and norms. Work that
    /// images of a batch share counts for each of them, so that an image costs the same alone and in a batch.
    public private(set) var operations: UInt64 = 0
    /// The number of images for which one computed image stands in `operations`.
    public private(set) var imagesPerComputed = 1

    /// Counts two operations for each product.
    func count(products: Int) { operations &+= 2 &* UInt64(max(0, products)) &* UInt64(imagesPerComputed) }

    /// Counts the operations of `body` for each of the images that share its results, until `endSharing` or its end.
    public func sharing<Result, Failure: Error>(
        by images: Int, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let before = imagesPerComputed
        imagesPerComputed *= max(1, images)
        defer { imagesPerComputed = before }
        return try body()
    }

    /// From here on each image is computed by itself.
    public func endSharing() { imagesPerComputed = 1 }

    /// The peak bytes of activations in use, since the last `forgetPeak`.
    public var peakActivationBytes: Int { memory.peakLiveBytes }

    /// About the peak with the memory between activations: memory that none of them fits into, or that waits for the next ones.
    public var peakHeldBytes: Int { memory.peakHeldBytes }

    /// Starts the peak again.
    public func forgetPeak() { memory.forgetPeak() }

    /// Runs `body` and measures the most bytes of activations that were in use at once meanwhile. `peakActivationBytes` counts
    /// them too.
    public func measuringPeak<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> (result: Result, peakBytes: Int) {
        let before = memory.peakLiveBytes
        memory.forgetPeak()
        defer { memory.raisePeak(to: before) }
        let result = try body()
        return (result, memory.peakLiveBytes)
    }

    /// Bytes of buffers kept for later activations.
    public var idleActivationBytes: Int { memory.idleBytes }

    /// Gives idle activation buffers back to the system, and the freed memory that the C library keeps.
    public func trimMemory() {
        memory.trim()
        csystem_release_freed_memory()
    }

    /// The kernel sets that this CPU runs. Each set of instructions contains those before it, but need not be faster.
    public static var kernelSets: [String] {
        var names: [String] = []
        while let table = ck_kernels_at(names.count) { names.append(String(cString: table.pointee.name)) }
        return names
    }

    /// Multiplications and additions between two signs of progress; longer operations are cut into slices. A slow core needs a
    /// few seconds for them.
    var operationsPerSlice = 200_000_000_000

    /// About the most bytes of rows that a convolution makes at once.
    var bandBytes = 16 << 20

    /// An uninitialised tensor from the context's memory.
    public func empty(_ shape: [Int], of type: ElementType = .f32) -> Tensor {
        whenAdvancing?()
        let bytes = Tensor.elementCount(shape) * type.byteCount
        return Tensor(shape: shape, elementType: type, storage: memory.allocate(byteCount: bytes))
    }

    /// Uninitialised memory from the context's pool.
    func bytes(_ count: Int) -> TensorStorage {
        whenAdvancing?()
        return memory.allocate(byteCount: count)
    }

    private static func kernels(named name: String?) throws(ComputeError) -> UnsafePointer<ck_kernels> {
        guard let name else { return ck_kernels_best() }
        if let model = ck_kernels_of_tile_model(), String(cString: model.pointee.name) == name { return model }
        guard let index = kernelSets.firstIndex(of: name), let table = ck_kernels_at(index) else {
            throw ComputeError(
                "This CPU does not run the kernel set '\(name)': choose one of \(kernelSets.joined(separator: ", "))")
        }
        return table
    }
}
