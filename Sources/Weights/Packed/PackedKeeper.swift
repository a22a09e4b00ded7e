public import TensorCore

/// A file of packed weights while a network is built.
enum PackedKeeper: Sendable {
    /// Only the file's size is wanted. The source is not read, and the network gets memory without values.
    case measured(PackedMeasure)
    /// The weights are prepared, written, and forgotten. The network gets memory without values in their place.
    case written(PackedWriter)
    /// The weights are in the file, and the source is not read. Its names and shapes are checked as always.
    case mapped(PackedReader)
}

extension WeightScope {
    /// Builds a network by names and shapes alone, for a context that rehearses. No weights are read, and they have no values.
    ///
    /// - Returns: the network, the bytes that its weights take in the orders of its context, and whether `PackedWeights` would
    ///   keep them in a file.
    public func measured<Network>(
        of type: ElementType, _ build: (WeightScope) throws -> Network
    ) rethrows -> (network: Network, byteCount: Int, isKept: Bool) {
        let measure = PackedMeasure()
        let network = try build(kept(by: .measured(measure)))
        return (network, measure.byteCount, hasBytes(PackedWeights.smallestNetwork, of: type))
    }

    /// Whether all tensors of this place together have at least `least` bytes in this type.
    func hasBytes(_ least: Int, of type: ElementType) -> Bool {
        elementCount.multipliedClamped(by: type.byteCount) >= least
    }

    /// The same place with a file of packed weights.
    func kept(by keeper: PackedKeeper) -> WeightScope {
        var scope = self
        scope.keeper = keeper
        return scope
    }

    /// A tensor that stays as it is: norms, biases, tables.
    func kept(_ name: String, shape: [Int], by keeper: PackedKeeper) throws(WeightsError) -> Tensor {
        let format = "f32 of \(shape)"
        switch keeper {
        case .measured(let measure):
            let tensor = try shapesOnly.value(name, shape: shape)
            measure.add(fullPath(name), format: format, byteCount: tensor.rawBytes.count)
            return tensor
        case .written(let writer):
            let tensor = try value(name, shape: shape)
            try writer.add(fullPath(name), format: format, tensor.rawBytes)
            return Tensor(uninitialized: shape)
        case .mapped(let file):
            try source.check(fullPath(name), shape: shape)
            let bytes = Tensor.elementCount(shape) * ElementType.f32.byteCount
            return try file.tensor(fullPath(name), format: format, byteCount: bytes, shape: shape, of: .f32)
        }
    }

    /// The weights of a layer in a library's order.
    ///
    /// - Parameters:
    ///   - shape: of the tensor `name` in the checkpoint.
    ///   - pack: makes them from the tensor. It is not called if they are in a file.
    /// - Throws: `WeightsError` as `tensor` does, and the errors of `pack`.
    public func packed(
        _ name: String, shape: [Int], as format: WeightFormat, pack: (Tensor) throws(ComputeError) -> Tensor
    ) throws -> Tensor {
        guard let keeper else { return try pack(try value(name, shape: shape)) }
        switch (keeper, format.name) {
        case (.measured(let measure), let words):
            try source.check(fullPath(name), shape: shape)
            measure.add(fullPath(name), format: words, byteCount: format.byteCount)
            return Tensor(uninitialized: [1])
        case (_, nil):
            return try pack(try value(name, shape: shape))
        case (.written(let writer), let words?):
            let packed = try pack(try value(name, shape: shape))
            let bytes = UnsafeRawBufferPointer(rebasing: packed.rawBytes.prefix(format.byteCount))
            try writer.add(fullPath(name), format: words, bytes)
            return Tensor(uninitialized: [1])
        case (.mapped(let file), let words?):
            try source.check(fullPath(name), shape: shape)
            let count = [max(1, (format.byteCount + 3) / 4)]
            return try file.tensor(fullPath(name), format: words, byteCount: format.byteCount, shape: count, of: .f32)
        }
    }
}
