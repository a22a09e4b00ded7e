/// A layer whose weights a backend reorders.
public enum WeightLayer: Hashable, Sendable {
    /// Weights of (out, in).
    case linear(inputs: Int, outputs: Int)
    /// Weights of (out, in, kernelHeight, kernelWidth).
    case convolution(inputs: Int, outputs: Int, kernelHeight: Int, kernelWidth: Int, use: ConvolutionUse)

    /// The shape of its weights in PyTorch's order.
    var shape: [Int] {
        switch self {
        case .linear(let inputs, let outputs): [outputs, inputs]
        case .convolution(let inputs, let outputs, let height, let width, _): [outputs, inputs, height, width]
        }
    }
}

/// The use of a convolution that its weights are packed for. In other uses a library may want another order of a few layers;
/// then a worker keeps these weights once more.
public struct ConvolutionUse: Hashable, Sendable {
    /// Height and width of the input.
    public var side: Int
    public var stride: Int
    /// Whether the layer always has this stride and never a dilation. Then an algorithm for this case alone may compute it.
    public var isFixed: Bool

    public init(side: Int = 64, stride: Int = 1, isFixed: Bool = false) {
        (self.side, self.stride, self.isFixed) = (side, stride, isFixed)
    }
}

/// The order in which a backend keeps the weights of a layer.
///
/// The layer, the element type, the library and its instruction set decide it. The number of threads and the sizes of pictures
/// do not, so that packed weights can be kept in a file that all workers of a host share.
public struct WeightFormat {
    public let layer: WeightLayer
    public let elementType: ElementType
    /// Bytes of packed weights.
    public let byteCount: Int
    /// A name for the whole order: weights of equal names and sizes are packed alike. nil if the library has no words for the
    /// order; then packed weights cannot be kept.
    public let name: String?
    /// The backend's own description.
    let details: AnyObject?

    /// Shape of the weights in PyTorch's order.
    public var shape: [Int] { layer.shape }
}

extension ComputeContext {
    /// The backend's order for the weights of a layer.
    public func weightFormat(of layer: WeightLayer, type: ElementType) throws(ComputeError) -> WeightFormat {
        try products(of: [type]).format(of: layer, type: type)
    }

    /// Reorders weights, which have the layer's shape in PyTorch's order. Do not write to them afterwards: the result may share
    /// their memory.
    public func pack(_ weight: Tensor, into format: WeightFormat) throws(ComputeError) -> Tensor {
        precondition(weight.shape == format.layer.shape, "weights of \(weight.shape) are not of \(format.layer)")
        whenAdvancing?()
        return try products(of: [weight.elementType]).pack(weight, into: format)
    }

    /// The parameters of a linear layer.
    ///
    /// - Parameters:
    ///   - packed: weights in the format `format`, which is one of this context. They are only read.
    ///   - bias: (out), f32, or `nil`.
    public func linearParameters(
        _ packed: Tensor, _ format: WeightFormat, bias: Tensor?
    ) throws(ComputeError) -> LinearParameters {
        guard case .linear(let inputs, let outputs) = format.layer else {
            preconditionFailure("\(format.layer) is no linear layer")
        }
        precondition(bias.map { $0.floats.count == outputs } ?? true, "the bias does not have \(outputs) values")
        return LinearParameters(
            inFeatures: inputs, outFeatures: outputs, elementType: format.elementType, bias: bias,
            weights: try products(of: [format.elementType]).adopt(packed, format))
    }

    /// The parameters of a convolution; see `linearParameters`.
    public func convolutionParameters(
        _ packed: Tensor, _ format: WeightFormat, bias: Tensor?
    ) throws(ComputeError) -> ConvolutionParameters {
        guard case .convolution(let inputs, let outputs, let height, let width, let use) = format.layer else {
            preconditionFailure("\(format.layer) is no convolution")
        }
        precondition(bias.map { $0.floats.count == outputs } ?? true, "the bias does not have \(outputs) values")
        return ConvolutionParameters(
            inChannels: inputs, outChannels: outputs, kernelHeight: height, kernelWidth: width, use: use,
            elementType: format.elementType, bias: bias,
            weights: try products(of: [format.elementType]).adopt(packed, format))
    }

    /// Packs the parameters of a linear layer.
    ///
    /// - Parameters:
    ///   - weight: (out, in), PyTorch's order. The context may keep or reorder it; do not write to it afterwards.
    ///   - bias: (out), f32, or `nil`.
    public func packLinear(weight: Tensor, bias: Tensor?) throws(ComputeError) -> LinearParameters {
        precondition(weight.shape.count == 2, "weights of a linear layer have two dimensions, not \(weight.shape)")
        let layer = WeightLayer.linear(inputs: weight.shape[1], outputs: weight.shape[0])
        let format = try weightFormat(of: layer, type: weight.elementType)
        return try linearParameters(try pack(weight, into: format), format, bias: bias)
    }

    /// Packs the parameters of a convolution.
    ///
    /// - Parameters:
    ///   - weight: (out, in, kernelHeight, kernelWidth), PyTorch's order. Do not write to it afterwards.
    ///   - bias: (out), f32, or `nil`.
    public func packConvolution(
        weight: Tensor, bias: Tensor?, use: ConvolutionUse = ConvolutionUse()
    ) throws(ComputeError) -> ConvolutionParameters {
        precondition(weight.shape.count == 4, "weights of a convolution have four dimensions, not \(weight.shape)")
        let layer = WeightLayer.convolution(
            inputs: weight.shape[1], outputs: weight.shape[0], kernelHeight: weight.shape[2], kernelWidth: weight.shape[3],
            use: use)
        let format = try weightFormat(of: layer, type: weight.elementType)
        return try convolutionParameters(try pack(weight, into: format), format, bias: bias)
    }
}
