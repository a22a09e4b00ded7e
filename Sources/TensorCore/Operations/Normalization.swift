import CKernels

extension ComputeContext {
    /// Group normalisation (Wu and He 2018) over the pixels and the channels of each group, then scale and offset of each
    /// channel, then SiLU on request.
    ///
    /// Each run of pixels has sums of the differences from the first pixel. The runs are joined in order and in double
    /// precision, so the bits do not depend on the number of threads.
    ///
    /// - Parameters:
    ///   - x: (n, h, w, c) or (n, tokens, c)
    ///   - scale: (c), f32
    ///   - offset: (c), f32
    ///   - addend: (n, c) or (1, c), added to x before the norm, of any type: the time embedding of a residual block.
    public func groupNorm(
        _ x: Tensor, groups: Int, scale: Tensor, offset: Tensor, epsilon: Float, silu: Bool, addend: Tensor? = nil
    ) -> Tensor {
        let table = kernels("groupNorm", x)
        note(.groupNorm(x.shape, groups: groups, silu: silu, hasAddend: addend != nil), x.elementType)
        let (n, c) = (x.shape[0], x.dimension(-1))
        let pixels = x.count / (n * c)
        precondition(c % groups == 0, "\(c) channels do not divide into \(groups) groups")
        let y = empty(x.shape, of: x.elementType)
        let run = max(16, min(256, 65536 / c))
        let runs = (pixels + run - 1) / run
        let moments = empty([n, runs, 2, c])
        let affine = empty([n, 2, c])
        let (input, output) = (x.raw, y.raw)
        // The first pixel of each image in f32.
        let pivots = empty([n, c])
        let (partial, perChannel) = (moments.floats.baseAddress!, affine.floats.baseAddress!)
        pool.run(n * runs) { index, _ in
            let (image, first) = (index / runs, index % runs * run)
            let source = input + image * pixels * c
            let target = partial + index * 2 * c
            table.channel_moments(source, first, min(run, pixels - first), c, source, target, target + c)
        }
        let addend = addend.map { convert($0, to: .f32) }
        let norm = GroupNormParameters(groups: groups, scale: scale, offset: offset, epsilon: epsilon)
        for image in 0..<n {
            let addendRow = addend.map { $0.floats.baseAddress! + ($0.count == c ? 0 : image * c) }
            let pivot = pivots.floats.baseAddress! + image * c
            table.widen(input + image * pixels * c, c, pivot)
            norm.fold(
                moments: partial + image * runs * 2 * c, runs: runs, pixels: pixels, pivot: pivot,
                addend: addendRow, c: c, into: perChannel + image * 2 * c)
        }
        pool.run(n * runs) { index, _ in
            let (image, first) = (index / runs, index % runs * run)
            let factors = perChannel + image * 2 * c
            table.channel_affine(
                input + image * pixels * c, first, min(run, pixels - first), c, factors, factors + c, silu ? 1 : 0,
                output + image * pixels * c)
        }
        return y
    }

    /// Layer normalisation of the last dimension.
    ///
    /// - Parameters:
    ///   - x: (…, c)
    ///   - scale: (c), f32
    ///   - offset: (c), f32
    public func layerNorm(_ x: Tensor, scale: Tensor, offset: Tensor, epsilon: Float) -> Tensor {
        let table = kernels("layerNorm", x)
        note(.layerNorm(x.shape), x.elementType)
        let c = x.dimension(-1)
        let y = empty(x.shape, of: x.elementType)
        let (input, output) = (x.raw, y.raw)
        let (gain, bias) = (scale.floats.baseAddress!, offset.floats.baseAddress!)
        pool.run(total: x.count / c, chunk: max(1, 32768 / c)) { first, count, _ in
            table.layer_norm(input + first * c, count, c, gain, bias, epsilon, output + first * c)
        }
        return y
    }
}

/// Turns the moments of one image into a gain and a bias for each channel.
private struct GroupNormParameters {
    let groups: Int
    let scale: Tensor
    let offset: Tensor
    let epsilon: Float

    /// - Parameters:
    ///   - moments: (runs, 2, c): sums and sums of squares of x − pivot.
    ///   - target: (2, c): gain and bias, so that norm(x + addend) = x·gain + bias.
    func fold(
        moments: UnsafePointer<Float>, runs: Int, pixels: Int, pivot: UnsafePointer<Float>, addend: UnsafePointer<Float>?,
        c: Int, into target: UnsafeMutablePointer<Float>
    ) {
        let width = c / groups
        let (gain, bias) = (scale.floats, offset.floats)
        for group in 0..<groups {
            var total = 0.0
            var channelMeans = [Double](repeating: 0, count: width)
            var scatter = 0.0
            for k in 0..<width {
                let channel = group * width + k
                var (sum, square) = (0.0, 0.0)
                for run in 0..<runs {
                    sum += Double(moments[run * 2 * c + channel])
                    square += Double(moments[run * 2 * c + c + channel])
                }
                scatter += square - sum * sum / Double(pixels)
                channelMeans[k] = Double(pivot[channel]) + sum / Double(pixels) + Double(addend?[channel] ?? 0)
                total += channelMeans[k]
            }
            let mean = total / Double(width)
            for k in 0..<width { scatter += Double(pixels) * (channelMeans[k] - mean) * (channelMeans[k] - mean) }
            let inverse = 1 / (max(0, scatter) / Double(pixels * width) + Double(epsilon)).squareRoot()
            for k in 0..<width {
                let channel = group * width + k
                let factor = inverse * Double(gain[channel])
                target[channel] = Float(factor)
                target[c + channel] = Float(Double(bias[channel]) + (Double(addend?[channel] ?? 0) - mean) * factor)
            }
        }
    }
}
