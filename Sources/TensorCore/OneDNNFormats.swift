import COneDNN
import CSystem

/// The formats of oneDNN for the weights of layers: its choice for a typical use of the layer.
///
/// Few layers would get another format with other numbers of rows, pixels or threads; only the block of output channels
/// differs then. A fixed use makes one format of them, which all workers of a host can share.
final class OneDNNFormats {
    /// Typical numbers of threads, and of rows that enter a linear layer.
    private static let threads: Int32 = 2
    private static let rows = 1024

    private struct Key: Hashable {
        let layer: WeightLayer
        let type: ElementType
        let asColumn: Bool
    }

    private let engine: OpaquePointer
    private var known: [Key: WeightFormat] = [:]

    /// - Parameter engine: must live longer than this object.
    init(_ engine: OpaquePointer) { self.engine = engine }

    /// The format of a layer. Changes the calling thread's number of OpenMP threads.
    ///
    /// - Parameter asColumn: whether the linear layer is computed as a 1×1 convolution of one column of pixels.
    func format(of layer: WeightLayer, type: ElementType, asColumn: Bool) throws(ComputeError) -> WeightFormat {
        let key = Key(layer: layer, type: type, asColumn: asColumn)
        if let format = known[key] { return format }
        csystem_set_openmp_threads(Self.threads)
        var raw: OpaquePointer?
        let status = create(layer, type, asColumn: asColumn, &raw)
        try check(status, "choosing the order of the weights of \(layer)")
        defer { conednn_operation_destroy(raw) }
        let details = try OneDNNFormat(copying: conednn_operation_format(raw!))
        let format = WeightFormat(
            layer: layer, elementType: type, byteCount: conednn_format_bytes(details.raw), name: details.name, details: details)
        known[key] = format
        return format
    }

    private func create(_ layer: WeightLayer, _ type: ElementType, asColumn: Bool, _ out: inout OpaquePointer?) -> Int32 {
        let type = Int32(type.rawValue)
        switch layer {
        case .linear(let inputs, let outputs) where !asColumn:
            var shape = conednn_linear_shape()
            (shape.rows, shape.in, shape.out) = (Int64(Self.rows), Int64(inputs), Int64(outputs))
            (shape.has_bias, shape.type, shape.result_type, shape.describes_only) = (1, type, type, 1)
            return conednn_linear_create(engine, &shape, nil, &out)
        case .linear(let inputs, let outputs):
            return create(.column(rows: Self.rows, from: inputs, to: outputs), type, &out)
        case .convolution(let inputs, let outputs, let height, let width, let use):
            let side = max(use.side, height, width)
            let shape = ConvolutionShape(
                n: 1, h: side, w: side, inChannels: inputs, outChannels: outputs, kernelHeight: height, kernelWidth: width,
                stride: use.stride, dilation: 1,
                padding: Padding(top: (height - 1) / 2, left: (width - 1) / 2, bottom: height / 2, right: width / 2))
            return create(shape, type, &out)
        }
    }

    private func create(_ shape: ConvolutionShape, _ type: Int32, _ out: inout OpaquePointer?) -> Int32 {
        var s = conednn_convolution_shape(shape)
        (s.has_bias, s.type, s.result_type, s.describes_only) = (1, type, type, 1)
        return conednn_convolution_create(engine, &s, &out)
    }
}

/// Owns one of oneDNN's descriptions of weights.
final class OneDNNFormat {
    let raw: OpaquePointer

    init(copying format: OpaquePointer) throws(ComputeError) {
        guard let copy = conednn_format_copy(format) else {
            throw ComputeError("There is no memory left for the description of weights")
        }
        raw = copy
    }

    deinit { conednn_format_destroy(raw) }

    static func of(_ format: WeightFormat) -> OneDNNFormat {
        guard let own = format.details as? OneDNNFormat else {
            preconditionFailure("the weights' order is of another backend")
        }
        return own
    }

    /// The whole order in words; nil if there are none for it.
    var name: String? {
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { room in
            conednn_format_text(raw, room.baseAddress, room.count) == 0 ? nil : String(cString: room.baseAddress!)
        }
        return text.map { "onednn \($0)" }
    }

    /// Reorders weights from PyTorch's order.
    func pack(_ weight: Tensor, into packed: Tensor, _ engine: OpaquePointer) throws(ComputeError) {
        var extents = weight.shape.map { Int64($0) }
        // A linear layer that is computed as a convolution.
        if extents.count == 2, conednn_format_rank(raw) == 4 { extents += [1, 1] }
        var plain: OpaquePointer?
        let type = Int32(weight.elementType.rawValue)
        let status = conednn_format_plain(Int32(extents.count), extents, type, &plain)
        defer { if let plain { conednn_format_destroy(plain) } }
        try check(status, "describing weights")
        try check(conednn_repack(engine, plain, weight.storage.base, raw, packed.storage.base), "packing weights")
    }
}

extension ConvolutionShape {
    /// A linear layer as a 1×1 convolution of one column of pixels.
    static func column(rows: Int, from inputs: Int, to outputs: Int) -> ConvolutionShape {
        ConvolutionShape(
            n: 1, h: rows, w: 1, inChannels: inputs, outChannels: outputs, kernelHeight: 1, kernelWidth: 1, stride: 1,
            dilation: 1, padding: .none)
    }
}

extension conednn_convolution_shape {
    /// The sizes of a convolution, without its form.
    init(_ shape: ConvolutionShape) {
        self.init()
        (n, h, w) = (Int64(shape.n), Int64(shape.h), Int64(shape.w))
        (self.in, out) = (Int64(shape.inChannels), Int64(shape.outChannels))
        (kernel_h, kernel_w) = (Int64(shape.kernelHeight), Int64(shape.kernelWidth))
        (out_h, out_w) = (Int64(shape.outHeight), Int64(shape.outWidth))
        (stride, dilation) = (Int64(shape.stride), Int64(shape.dilation))
        (pad_top, pad_left) = (Int64(shape.padding.top), Int64(shape.padding.left))
        (pad_bottom, pad_right) = (Int64(shape.padding.bottom), Int64(shape.padding.right))
    }
}
