import TensorCore
import Weights

/// Scale and offset of a norm, (c) each.
struct NormParameters {
    let scale: Tensor
    let offset: Tensor
}

/// The stored form of the weights of a layer that acts on single pixels.
enum PointwiseStorage {
    /// (out, in)
    case matrix
    /// (out, in, 1, 1)
    case convolution
}

/// A place in a checkpoint, and the context that packs its tensors.
struct LayerScope {
    let weights: WeightScope
    let context: ComputeContext

    init(_ weights: WeightScope, _ context: ComputeContext) {
        self.weights = weights
        self.context = context
    }

    subscript(_ child: String) -> LayerScope { LayerScope(weights[child], context) }
    subscript(_ index: Int) -> LayerScope { LayerScope(weights[index], context) }

    func tensor(_ name: String, _ shape: [Int]) throws(ModelError) -> Tensor {
        do { return try weights.tensor(name, shape: shape) } catch { throw ModelError(error) }
    }

    /// A fully connected layer, or a 1×1 convolution, which is the same thing for channels-last images.
    func linear(
        _ name: String, from inputs: Int, to outputs: Int, bias: Bool = true, storage: PointwiseStorage = .matrix
    ) throws(ModelError) -> LinearParameters {
        let layer = self[name]
        let isConvolution = storage == .convolution
        let weight = try layer.tensor("weight", isConvolution ? [outputs, inputs, 1, 1] : [outputs, inputs])
        let offset = bias ? try layer.tensor("bias", [outputs]) : nil
        return try ModelError.computing(layer.weights.path) { () throws(ComputeError) in
            try context.packLinear(weight: weight.reshaped([outputs, inputs]), bias: offset)
        }
    }

    /// A 3×3 convolution with bias.
    func convolution(_ name: String, from inputs: Int, to outputs: Int) throws(ModelError) -> ConvolutionParameters {
        let layer = self[name]
        let weight = try layer.tensor("weight", [outputs, inputs, 3, 3])
        let bias = try layer.tensor("bias", [outputs])
        return try ModelError.computing(layer.weights.path) { () throws(ComputeError) in
            try context.packConvolution(weight: weight, bias: bias)
        }
    }

    func norm(_ name: String, _ channels: Int) throws(ModelError) -> NormParameters {
        let layer = self[name]
        return NormParameters(scale: try layer.tensor("weight", [channels]), offset: try layer.tensor("bias", [channels]))
    }
}

/// Group normalisation with its parameters.
struct GroupNorm {
    let parameters: NormParameters
    let groups: Int
    let epsilon: Float

    init(_ scope: LayerScope, _ name: String, channels: Int, groups: Int, epsilon: Float) throws(ModelError) {
        parameters = try scope.norm(name, channels)
        self.groups = groups
        self.epsilon = epsilon
    }

    /// - Parameter addend: (n, c) or (1, c), added before the norm.
    func callAsFunction(_ x: Tensor, silu: Bool, addend: Tensor? = nil, _ context: ComputeContext) -> Tensor {
        context.groupNorm(
            x, groups: groups, scale: parameters.scale, offset: parameters.offset, epsilon: epsilon, silu: silu, addend: addend)
    }
}

/// Layer normalisation with its parameters.
struct LayerNorm {
    let parameters: NormParameters
    let epsilon: Float

    init(_ scope: LayerScope, _ name: String, channels: Int, epsilon: Float = 1e-5) throws(ModelError) {
        parameters = try scope.norm(name, channels)
        self.epsilon = epsilon
    }

    func callAsFunction(_ x: Tensor, _ context: ComputeContext) -> Tensor {
        context.layerNorm(x, scale: parameters.scale, offset: parameters.offset, epsilon: epsilon)
    }
}
