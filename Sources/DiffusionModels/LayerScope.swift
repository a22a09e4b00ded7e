import TensorCore
import Weights

/// A place in a checkpoint, and the context that packs its tensors.
struct LayerScope {
    let weights: WeightScope
    let context: ComputeContext
    /// The element type of the packed weights. Biases and the parameters of norms stay f32.
    let precision: ElementType

    /// - Parameter precision: nil for the context's.
    init(_ weights: WeightScope, _ context: ComputeContext, precision: ElementType? = nil) {
        (self.weights, self.context, self.precision) = (weights, context, precision ?? context.precision)
    }

    subscript(_ child: String) -> LayerScope { LayerScope(weights[child], context, precision: precision) }
    subscript(_ index: Int) -> LayerScope { LayerScope(weights[index], context, precision: precision) }

    func tensor(_ name: String, _ shape: [Int]) throws(ModelError) -> Tensor {
        do { return try weights.tensor(name, shape: shape) } catch { throw ModelError(error) }
    }

    /// Throws if the network left tensors behind that are not in `ignoring`.
    func requireNothingLeft(ignoring: [String]) throws(ModelError) {
        do { try weights.requireAllConsumed(ignoring: ignoring) } catch { throw ModelError(error) }
    }

    /// A fully connected layer, or a 1×1 convolution, which is the same thing for channels-last images.
    ///
    /// - Parameter isConvolution: whether the weights are stored as (out, in, 1, 1) instead of (out, in).
    func linear(
        _ name: String, from inputs: Int, to outputs: Int, bias: Bool = true, isConvolution: Bool = false
    ) throws(ModelError) -> LinearParameters {
        let layer = self[name]
        let weight = try layer.tensor("weight", isConvolution ? [outputs, inputs, 1, 1] : [outputs, inputs])
        let offset = bias ? try layer.tensor("bias", [outputs]) : nil
        return try ModelError.computing(layer.weights.path) { () throws(ComputeError) in
            let weight = context.convertWeights(weight.reshaped([outputs, inputs]), to: precision)
            return try context.packLinear(weight: weight, bias: offset)
        }
    }

    /// A 3×3 convolution with bias.
    func convolution(_ name: String, from inputs: Int, to outputs: Int) throws(ModelError) -> ConvolutionParameters {
        let layer = self[name]
        let weight = try layer.tensor("weight", [outputs, inputs, 3, 3])
        let bias = try layer.tensor("bias", [outputs])
        return try ModelError.computing(layer.weights.path) { () throws(ComputeError) in
            try context.packConvolution(weight: context.convertWeights(weight, to: precision), bias: bias)
        }
    }

    /// Scale and offset of a norm, (channels) each.
    func norm(_ name: String, _ channels: Int) throws(ModelError) -> (scale: Tensor, offset: Tensor) {
        (try self[name].tensor("weight", [channels]), try self[name].tensor("bias", [channels]))
    }
}

/// Group normalisation with its parameters.
struct GroupNorm {
    private let parameters: (scale: Tensor, offset: Tensor)
    private let groups: Int
    private let epsilon: Float

    init(_ scope: LayerScope, _ name: String, channels: Int, groups: Int, epsilon: Float) throws(ModelError) {
        parameters = try scope.norm(name, channels)
        (self.groups, self.epsilon) = (groups, epsilon)
    }

    /// - Parameter addend: (n, c) or (1, c), added before the norm.
    func callAsFunction(_ x: Tensor, silu: Bool, addend: Tensor? = nil, _ context: ComputeContext) -> Tensor {
        context.groupNorm(
            x, groups: groups, scale: parameters.scale, offset: parameters.offset, epsilon: epsilon, silu: silu, addend: addend)
    }
}

/// Layer normalisation with its parameters.
struct LayerNorm {
    private let parameters: (scale: Tensor, offset: Tensor)
    private let epsilon: Float

    init(_ scope: LayerScope, _ name: String, channels: Int, epsilon: Float = 1e-5) throws(ModelError) {
        parameters = try scope.norm(name, channels)
        self.epsilon = epsilon
    }

    func callAsFunction(_ x: Tensor, _ context: ComputeContext) -> Tensor {
        context.layerNorm(x, scale: parameters.scale, offset: parameters.offset, epsilon: epsilon)
    }
}
