import CKernels

extension ComputeContext {
    /// The backend's products for weights of a type, if somebody still wants a result.
    private func products(_ weights: ElementType, _ others: Tensor?...) throws(ComputeError) -> any MatrixProducts {
        try checkIsWanted()
        return try products(of: [weights] + others.compactMap { $0?.elementType })
    }

    /// y = activation(x·Wᵀ + b) + residual.
    ///
    /// - Parameters:
    ///   - x: (…, in)
    ///   - residual: (…, out), added after the activation.
    /// - Returns: (…, out)
    public func linear(
        _ x: Tensor, _ parameters: LinearParameters, activation: Activation = .none, residual: Tensor? = nil
    ) throws(ComputeError) -> Tensor {
        precondition(
            x.dimension(-1) == parameters.inFeatures, "rows of \(x.dimension(-1)) meet weights of \(parameters.inFeatures)")
        let y = empty(x.shape.dropLast() + [parameters.outFeatures], of: x.elementType)
        precondition(residual.map { $0.count == y.count } ?? true, "the residual has another size than the product")
        note(
            .linear(
                rows: x.count / parameters.inFeatures, from: parameters.inFeatures, to: parameters.outFeatures,
                activation: activation), x.elementType, hasBias: parameters.bias != nil, hasResidual: residual != nil)
        try product(x, parameters, activation: activation, residual: residual, into: y)
        return y
    }

    /// A convolution with zeros outside the image: y = x ∗ W + b + residual.
    ///
    /// - Parameters:
    ///   - x: (n, h, w, in)
    ///   - padding: zeros added on each side.
    ///   - residual: of the result's shape and type, added to it.
    ///   - type: the type of the result; nil for the type of x.
    /// - Returns: (n, h', w', out) with h' = (h + top + bottom − dilation·(kernel − 1) − 1) / stride + 1.
    public func convolution(
        _ x: Tensor, _ parameters: ConvolutionParameters, stride: Int = 1, padding: Padding = .same, dilation: Int = 1,
        residual: Tensor? = nil, as type: ElementType? = nil
    ) throws(ComputeError) -> Tensor {
        precondition(
            x.shape.count == 4 && x.shape[3] == parameters.inChannels, "\(x.shape) meets \(parameters.inChannels) channels")
        let shape = ConvolutionShape(
            n: x.shape[0], h: x.shape[1], w: x.shape[2], inChannels: parameters.inChannels, outChannels: parameters.outChannels,
            kernelHeight: parameters.kernelHeight, kernelWidth: parameters.kernelWidth, stride: stride, dilation: dilation,
            padding: padding)
        precondition(shape.outHeight > 0 && shape.outWidth > 0, "an image of \(x.shape) is smaller than the kernel")
        let y = empty([shape.n, shape.outHeight, shape.outWidth, shape.outChannels], of: type ?? x.elementType)
        precondition(
            residual.map { $0.count == y.count && $0.elementType == y.elementType } ?? true,
            "the residual has another size or type than the result")
        note(
            .convolution(
                x: x.shape, to: shape.outChannels, kernel: [shape.kernelHeight, shape.kernelWidth], stride: stride,
                dilation: dilation, padding: padding, use: parameters.use), x.elementType, hasBias: parameters.bias != nil,
            hasResidual: residual != nil, resultType: y.elementType)
        try convolve(x, shape, parameters, residual: residual, into: y)
        return y
    }

    /// The same convolution of one image whose rows are made when they are needed: band by band, so that they are never in
    /// memory all at once. Each result has the bits of `convolution`.
    ///
    /// - Parameters:
    ///   - size: height and width of the image.
    ///   - rows: makes some rows of the image, (1, rows, width, in). Bands overlap by the kernel's height.
    public func convolution(
        ofSize size: (height: Int, width: Int), _ parameters: ConvolutionParameters, padding: Padding,
        residual: Tensor? = nil, as type: ElementType? = nil, rows: (Range<Int>) throws(ComputeError) -> Tensor
    ) throws(ComputeError) -> Tensor {
        let shape = ConvolutionShape(
            n: 1, h: size.height, w: size.width, inChannels: parameters.inChannels, outChannels: parameters.outChannels,
            kernelHeight: parameters.kernelHeight, kernelWidth: parameters.kernelWidth, stride: 1, dilation: 1,
            padding: padding)
        precondition(shape.outHeight > 0 && shape.outWidth > 0, "an image of \(size) is smaller than the kernel")
        let rowBytes = size.width * shape.inChannels * precision.byteCount
        // An even number of rows: tiles of two rows lie as in the whole image.
        let band = max(8, bandBytes / rowBytes) / 2 * 2
        guard band < shape.outHeight else {
            return try convolution(
                try rows(0..<size.height), parameters, padding: padding, residual: residual, as: type)
        }
        var y: Tensor?
        for first in Swift.stride(from: 0, to: shape.outHeight, by: band) {
            let range = first..<min(first + band, shape.outHeight)
            let (part, top) = shape.slice(ofRows: range)
            let x = try rows(top..<top + part.h)
            precondition(x.shape == [1, part.h, part.w, part.inChannels], "\(x.shape) are no rows of an image of \(size)")
            let target = y ?? empty([1, shape.outHeight, shape.outWidth, shape.outChannels], of: type ?? x.elementType)
            y = target
            note(
                .convolution(
                    x: x.shape, to: shape.outChannels, kernel: [shape.kernelHeight, shape.kernelWidth], stride: 1,
                    dilation: 1, padding: part.padding, use: parameters.use), x.elementType,
                hasBias: parameters.bias != nil, hasResidual: residual != nil, resultType: target.elementType)
            try convolve(x, part, parameters, residual: residual?.rows(range), into: target.rows(range))
        }
        guard let y else { preconditionFailure("an image without rows") }
        return y
    }

    /// A matrix product, cut into slices of rows of one image if it is long. So an image is cut alike in every batch.
    private func product(
        _ x: Tensor, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let (input, output) = (parameters.inFeatures, parameters.outFeatures)
        let rows = x.count / input
        let products = try products(parameters.elementType, x, residual)
        count(products: rows * input * output)
        let slice = max(1, operationsPerSlice / (2 * input * output))
        guard rows > slice else {
            try products.linear(x, parameters, activation: activation, residual: residual, into: y)
            return
        }
        let rowsOfImage = rows / x.imageCount
        for image in Swift.stride(from: 0, to: rows, by: rowsOfImage) {
            for first in Swift.stride(from: image, to: image + rowsOfImage, by: slice) {
                whenAdvancing?()
                try checkIsWanted()
                let count = min(slice, image + rowsOfImage - first)
                try products.linear(
                    x.part(at: first * input, shape: [count, input]), parameters, activation: activation,
                    residual: residual?.part(at: first * output, shape: [count, output]),
                    into: y.part(at: first * output, shape: [count, output]))
            }
        }
    }

    /// A convolution, cut into slices of rows of one image if it is long.
    private func convolve(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        // A residual has the result's type, which may be another one: sums are f32 in any case.
        let products = try products(parameters.elementType, x)
        let operationsOfRow =
            2 * shape.outWidth * shape.outChannels * shape.inChannels * shape.kernelHeight * shape.kernelWidth
        count(products: shape.n * shape.outHeight * operationsOfRow / 2)
        // An even number of rows: tiles of two rows lie as in the whole image.
        let slice = max(2, operationsPerSlice / operationsOfRow / 2 * 2)
        guard shape.n * shape.outHeight > slice else {
            try products.convolution(x, shape, parameters, residual: residual, into: y)
            return
        }
        let (inRow, outRow) = (shape.w * shape.inChannels, shape.outWidth * shape.outChannels)
        for image in 0..<shape.n {
            for first in Swift.stride(from: 0, to: shape.outHeight, by: slice) {
                whenAdvancing?()
                try checkIsWanted()
                let rows = first..<min(first + slice, shape.outHeight)
                let (part, top) = shape.slice(ofRows: rows)
                let (source, target) = ((image * shape.h + top) * inRow, (image * shape.outHeight + first) * outRow)
                let outShape = [1, rows.count, shape.outWidth, shape.outChannels]
                try products.convolution(
                    x.part(at: source, shape: [1, part.h, shape.w, shape.inChannels]), part, parameters,
                    residual: residual?.part(at: target, shape: outShape), into: y.part(at: target, shape: outShape))
            }
        }
    }
}

extension ConvolutionShape {
    /// The convolution that gives only `rows` of one image's result, and the first input row that it reads.
    func slice(ofRows rows: Range<Int>) -> (shape: ConvolutionShape, top: Int) {
        let begin = rows.lowerBound * stride - padding.top
        let end = (rows.upperBound - 1) * stride + dilation * (kernelHeight - 1) - padding.top + 1
        var part = self
        part.n = 1
        part.padding.top = max(0, -begin)
        part.padding.bottom = max(0, end - h)
        part.h = min(h, end) - max(0, begin)
        return (part, max(0, begin))
    }

    /// The same for the C kernels, of one image.
    var kernelShape: ck_convolution_shape {
        ck_convolution_shape(
            h: h, w: w, in_channels: inChannels, out_channels: outChannels, kernel_h: kernelHeight, kernel_w: kernelWidth,
            stride: stride, dilation: dilation, pad_top: padding.top, pad_left: padding.left, out_h: outHeight, out_w: outWidth)
    }
}
