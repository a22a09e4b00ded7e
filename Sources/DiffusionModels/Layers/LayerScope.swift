import TensorCore
import Weights

/// A place in a checkpoint, and the context that packs its tensors.
struct LayerScope {
    let weights: WeightScope
    let context: ComputeContext
    /// The element type of the packed weights. Biases and the parameters of norms stay f32.
    let precision: ElementType
    /// The usual height and width of the images here, which convolutions' weights are packed for.
    private(set) var side = 64

    /// - Parameter precision: nil for the context's.
    init(_ weights: WeightScope, _ context: ComputeContext, precision: ElementType? = nil) {
        (self.weights, self.context, self.precision) = (weights, context, precision ?? context.precision)
    }

    subscript(_ child: String) -> LayerScope { at(weights[child]) }
    subscript(_ index: Int) -> LayerScope { at(weights[index]) }

    private func at(_ place: WeightScope) -> LayerScope {
        LayerScope(place, context, precision: precision).sized(side)
    }

    /// The same place with images of another size.
    func sized(_ side: Int) -> LayerScope {
        var scope = self
        scope.side = max(1, side)
        return scope
    }

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
        let packed = try layer.packed(
            .linear(inputs: inputs, outputs: outputs), from: isConvolution ? [outputs, inputs, 1, 1] : [outputs, inputs])
        let offset = bias ? try layer.tensor("bias", [outputs]) : nil
        return try ModelError.computing(layer.weights.path) { () throws(ComputeError) in
            try context.linearParameters(packed.weights, packed.format, bias: offset)
        }
    }

    /// A 3×3 convolution with bias.
    func convolution(
        _ name: String, from inputs: Int, to outputs: Int, stride: Int = 1
    ) throws(ModelError) -> ConvolutionParameters {
        let layer = self[name]
        let use = ConvolutionUse(side: side, stride: stride, isFixed: stride == 1)
        let packed = try layer.packed(
            .convolution(inputs: inputs, outputs: outputs, kernelHeight: 3, kernelWidth: 3, use: use),
            from: [outputs, inputs, 3, 3])
        let bias = try layer.tensor("bias", [outputs])
        return try ModelError.computing(layer.weights.path) { () throws(ComputeError) in
            try context.convolutionParameters(packed.weights, packed.format, bias: bias)
        }
    }

    /// The layer's weights in the backend's order: prepared now, or from a file of packed weights.
    ///
    /// - Parameter shape: in the checkpoint.
    private func packed(
        _ layer: WeightLayer, from shape: [Int]
    ) throws(ModelError) -> (weights: Tensor, format: WeightFormat) {
        let format = try ModelError.computing(weights.path) { () throws(ComputeError) in
            try context.weightFormat(of: layer, type: precision)
        }
        do {
            let packed = try weights.packed("weight", shape: shape, as: format) { plain throws(ComputeError) in
                try context.pack(context.convertWeights(plain.reshaped(format.shape), to: precision), into: format)
            }
            return (packed, format)
        } catch let error as WeightsError {
            throw ModelError(error)
        } catch let error as ComputeError {
            throw ModelError(error, in: weights.path)
        } catch {
            throw ModelError(.weights, "\(weights.path): \(error)")
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
    let groups: Int
    private let epsilon: Float

    init(_ scope: LayerScope, _ name: String, channels: Int, groups: Int, epsilon: Float) throws(ModelError) {
        parameters = try scope.norm(name, channels)
        (self.groups, self.epsilon) = (groups, epsilon)
    }

    /// The norm of a part of an image.
    ///
    /// - Parameters:
    ///   - x: a tile of the image, (1, h, w, c).
    ///   - box: the part of the tile.
    ///   - moments: of the whole image.
    func callAsFunction(
        _ x: Tensor, _ box: ImageBox, _ moments: GroupMoments, silu: Bool, _ context: ComputeContext
    ) -> Tensor {
        context.groupNorm(
            x, part: (box.rows, box.columns), moments: moments, scale: parameters.scale, offset: parameters.offset,
            epsilon: epsilon, silu: silu)
    }

    /// The moments of a part of x, (1, h, w, c).
    func moments(of x: Tensor, _ box: ImageBox, _ context: ComputeContext) -> GroupMoments {
        context.groupMoments(x, groups: groups, rows: box.rows, columns: box.columns)
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
