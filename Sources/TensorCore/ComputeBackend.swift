/// The library for matrix products and convolutions.
public enum BackendChoice: String, Sendable, CaseIterable {
    /// oneDNN on x86-64, where it has fast kernels, else OpenBLAS.
    case auto
    case onednn
    case openblas

    /// All libraries, without `auto`.
    public static var libraries: [BackendChoice] { allCases.filter { $0 != .auto } }

    /// The backend that `auto` means on this machine.
    public var resolved: BackendChoice {
        guard self == .auto else { return self }
        #if arch(x86_64)
            return .onednn
        #else
            return .openblas
        #endif
    }
}

/// The function applied to a matrix product.
public enum Activation: Int32, Sendable {
    case none = 0
    /// x · sigmoid(x)
    case silu = 1
    /// x · Φ(x), with the error function
    case gelu = 2
    /// x · sigmoid(1.702 x), CLIP's approximation of gelu
    case quickGELU = 3
}

/// Zeros around an image, in pixels.
public struct Padding: Sendable, Hashable {
    public var top: Int
    public var left: Int
    public var bottom: Int
    public var right: Int

    public init(top: Int, left: Int, bottom: Int, right: Int) {
        (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
    }

    /// The same on all sides.
    public init(_ all: Int) { self.init(top: all, left: all, bottom: all, right: all) }

    /// One pixel on all sides: a 3×3 convolution of stride 1 keeps its size.
    public static let same = Padding(1)
    public static let none = Padding(0)
}

/// The geometry of one convolution call.
struct ConvolutionShape: Hashable {
    var n: Int, h: Int, w: Int
    var inChannels: Int, outChannels: Int
    var kernelHeight: Int, kernelWidth: Int
    var stride: Int, dilation: Int
    var padding: Padding

    var outHeight: Int { (h + padding.top + padding.bottom - dilation * (kernelHeight - 1) - 1) / stride + 1 }
    var outWidth: Int { (w + padding.left + padding.right - dilation * (kernelWidth - 1) - 1) / stride + 1 }
}

/// Parameters of `y = x·Wᵀ + b`, in the backend's own order.
public struct LinearParameters {
    public let inFeatures: Int
    public let outFeatures: Int
    /// The type of the weights. A bias is f32.
    let elementType: ElementType
    let bias: Tensor?
    let weights: any PackedWeights
}

/// Parameters of a two-dimensional convolution, in the backend's own order.
public struct ConvolutionParameters {
    public let inChannels: Int
    public let outChannels: Int
    public let kernelHeight: Int
    public let kernelWidth: Int
    /// The use that its weights are packed for.
    let use: ConvolutionUse
    /// The type of the weights. A bias is f32.
    let elementType: ElementType
    let bias: Tensor?
    let weights: any PackedWeights
}

/// Weights in one backend's own form.
protocol PackedWeights {}

/// The interface of a compute library. Images are channels last. Duties that no signature says:
///
/// - The result of an image has the same bits in any batch, and for any number of threads.
/// - Where the context rehearses (`ParallelPool.rehearses`), products take the memory that they need, and compute nothing.
/// - Weights are packed into the same bytes at every start, because workers share them in a file.
protocol ComputeBackend: AnyObject {
    var name: String { get }
    /// Library, version and instruction set, for the numerics class.
    var identity: String { get }
    /// Times that it brought weights into another order for an operation.
    var reorders: Int { get }
    /// Operations that it prepared, one for each new shape.
    var preparations: Int { get }

    /// The products for tensors of these element types.
    ///
    /// - Throws: if the types differ or the library does not support them.
    func products(of types: [ElementType]) throws(ComputeError) -> any MatrixProducts
}

extension ComputeBackend {
    /// None: the library takes weights as they were packed.
    var reorders: Int { 0 }
    /// None: the library takes every shape as it comes.
    var preparations: Int { 0 }
}

/// The products of one compute library for one element type.
protocol MatrixProducts: AnyObject {
    /// The order for the weights of a layer; the same at every start and for any number of threads.
    func format(of layer: WeightLayer, type: ElementType) throws(ComputeError) -> WeightFormat
    /// `weight`: (out, in) of a linear layer, (out, in, kernelHeight, kernelWidth) of a convolution.
    func pack(_ weight: Tensor, into format: WeightFormat) throws(ComputeError) -> Tensor
    /// Packed weights for products. Their memory is only read.
    func adopt(_ packed: Tensor, _ format: WeightFormat) -> any PackedWeights

    /// y(…, out) = activation(x(…, in)·Wᵀ + b) + residual
    func linear(
        _ x: Tensor, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError)
    /// y = x ∗ W + b + residual
    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError)
}
