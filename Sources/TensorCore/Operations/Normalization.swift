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
        note(.groupNorm(x.shape, groups: groups, silu: silu, hasAddend: addend != nil), x.elementType)
        let addend = addend.map { convert($0, to: .f32) }
        let runs = PixelRuns(pixels: x.count / (x.shape[0] * x.dimension(-1)), channels: x.dimension(-1))
        let moments = moments(of: x, groups: groups, runs, addend)
        let norm = GroupNormParameters(scale: scale, offset: offset, epsilon: epsilon)
        return normalized(x, moments, norm, silu: silu, addend: addend)
    }

    /// The moments of groups of channels over a part of an image. The sums are in double precision, so the moments of parts,
    /// merged, are those of the whole image however it is divided: the norm in f32 does not see the difference.
    ///
    /// - Parameter x: (1, h, w, c)
    public func groupMoments(_ x: Tensor, groups: Int, rows: Range<Int>, columns: Range<Int>) -> GroupMoments {
        let table = kernels("groupMoments", x)
        let c = x.shape[3]
        checkPart(of: x, rows, columns)
        precondition(c % groups == 0, "\(c) channels do not divide into \(groups) groups")
        let runs = PixelRuns(rows: rows, columns: columns, width: x.shape[2], channels: c)
        let memory = bytes(runs.count * 2 * c * MemoryLayout<Double>.size)
        let (input, sums) = (x.raw, memory.base.assumingMemoryBound(to: Double.self))
        pool.run(runs.count) { index, _ in
            let (run, target) = (runs[index], sums + index * 2 * c)
            table.channel_sums(input.base, run.first, run.count, c, target, target + c)
        }
        let (width, count) = (c / groups, runs.pixels * c / groups)
        var (means, scatters) = ([Double](repeating: 0, count: groups), [Double](repeating: 0, count: groups))
        if rehearses { return GroupMoments(count: count, means: means, scatters: scatters) }
        for run in 0..<runs.count {
            for channel in 0..<c {
                means[channel / width] += sums[run * 2 * c + channel]
                scatters[channel / width] += sums[run * 2 * c + c + channel]
            }
        }
        for group in 0..<groups {
            means[group] /= Double(count)
            scatters[group] = max(0, scatters[group] - means[group] * means[group] * Double(count))
        }
        return GroupMoments(count: count, means: means, scatters: scatters)
    }

    /// The second half of `groupNorm`, for a part of an image that is itself a part of a larger one.
    ///
    /// - Parameters:
    ///   - x: (1, h, w, c)
    ///   - part: rows and columns of x.
    ///   - moments: of the larger image.
    /// - Returns: (1, rows, columns, c)
    public func groupNorm(
        _ x: Tensor, part: (rows: Range<Int>, columns: Range<Int>), moments: GroupMoments, scale: Tensor, offset: Tensor,
        epsilon: Float, silu: Bool
    ) -> Tensor {
        let (rows, columns) = part
        let norm = GroupNormParameters(scale: scale, offset: offset, epsilon: epsilon)
        let (w, c) = (x.shape[2], x.shape[3])
        checkPart(of: x, rows, columns)
        note(
            .groupNorm([1, rows.count, columns.count, c], groups: moments.means.count, silu: silu, hasAddend: false),
            x.elementType)
        guard columns.count < w else { return normalized(x.rows(rows), [moments], norm, silu: silu, addend: nil) }
        let table = kernels("groupNorm", x)
        let y = empty([1, rows.count, columns.count, c], of: x.elementType)
        let affine = empty([2, c])
        let (input, output, factors) = (x.raw, y.raw, affine.floats.baseAddress!)
        norm.fold(moments, addend: nil, c: c, into: factors)
        pool.run(rows.count) { row, _ in
            table.channel_affine(
                input + ((rows.lowerBound + row) * w + columns.lowerBound) * c, 0, columns.count, c, factors, factors + c,
                silu ? 1 : 0, output + row * columns.count * c)
        }
        return y
    }

    private func checkPart(of x: Tensor, _ rows: Range<Int>, _ columns: Range<Int>) {
        precondition(
            x.shape[0] == 1 && (0...x.shape[1]).contains(rows.upperBound) && (0...x.shape[2]).contains(columns.upperBound)
                && rows.lowerBound >= 0 && columns.lowerBound >= 0 && !rows.isEmpty && !columns.isEmpty,
            "rows \(rows) and columns \(columns) are no part of one image of \(x.shape)")
    }

    /// - Parameter addend: (n, c) or (1, c), f32.
    /// - Returns: the moments of each image.
    private func moments(of x: Tensor, groups: Int, _ runs: PixelRuns, _ addend: Tensor?) -> [GroupMoments] {
        let table = kernels("groupNorm", x)
        let (n, c) = (x.shape[0], x.dimension(-1))
        precondition(c % groups == 0, "\(c) channels do not divide into \(groups) groups")
        let (input, image) = (x.raw, x.count / n)
        let sums = empty([n, runs.count, 2, c])
        let partial = sums.floats.baseAddress!
        pool.run(n * runs.count) { index, _ in
            let run = runs[index % runs.count]
            let (start, target) = (index / runs.count * image, partial + index * 2 * c)
            table.channel_moments(
                input + start, run.first, run.count, c, input + (start + runs.first * c), target, target + c)
        }
        // The first pixel of each image in f32.
        let pivots = empty([c])
        let pivot = pivots.floats.baseAddress!
        return (0..<n).map { index in
            let addend = addend.map { $0.floats.baseAddress! + ($0.count == c ? 0 : index * c) }
            table.widen(input + (index * image + runs.first * c), c, pivot)
            return GroupMoments(
                groups: groups, channels: c, runs: runs, sums: partial + index * runs.count * 2 * c, pivot: pivot,
                addend: addend)
        }
    }

    /// - Parameter moments: of each image with its addend.
    private func normalized(
        _ x: Tensor, _ moments: [GroupMoments], _ norm: GroupNormParameters, silu: Bool, addend: Tensor?
    ) -> Tensor {
        let table = kernels("groupNorm", x)
        let (n, c) = (x.shape[0], x.dimension(-1))
        let image = x.count / n
        let y = empty(x.shape, of: x.elementType)
        let affine = empty([n, 2, c])
        let (input, output, perChannel) = (x.raw, y.raw, affine.floats.baseAddress!)
        for (index, moments) in moments.enumerated() {
            let addend = addend.map { $0.floats.baseAddress! + ($0.count == c ? 0 : index * c) }
            norm.fold(moments, addend: addend, c: c, into: perChannel + index * 2 * c)
        }
        let runs = PixelRuns(pixels: image / c, channels: c)
        pool.run(n * runs.count) { index, _ in
            let (at, run) = (index / runs.count, runs[index % runs.count])
            let factors = perChannel + at * 2 * c
            table.channel_affine(
                input + at * image, run.first, run.count, c, factors, factors + c, silu ? 1 : 0, output + at * image)
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

/// A part of an image in runs of neighbouring pixels, which are short enough for sums in f32.
private struct PixelRuns {
    /// The first pixel of the part.
    let first: Int
    private let rows: Int
    /// Pixels of the part in a row, and of the image.
    private let width: Int
    private let stride: Int
    private let run: Int
    private let runsOfRow: Int

    /// All pixels of an image.
    init(pixels: Int, channels: Int) {
        self.init(rows: 0..<1, columns: 0..<pixels, width: pixels, channels: channels)
    }

    init(rows: Range<Int>, columns: Range<Int>, width: Int, channels: Int) {
        // Whole rows are one long row.
        let isWhole = columns.count == width
        first = rows.lowerBound * width + columns.lowerBound
        self.rows = isWhole ? 1 : rows.count
        self.width = isWhole ? rows.count * width : columns.count
        stride = width
        run = max(16, min(256, 65536 / channels))
        runsOfRow = (self.width + run - 1) / run
    }

    var count: Int { rows * runsOfRow }
    var pixels: Int { rows * width }

    subscript(index: Int) -> (first: Int, count: Int) {
        let (row, start) = (index / runsOfRow, index % runsOfRow * run)
        return (first + row * stride + start, min(run, width - start))
    }
}

/// Means and scatters of a norm's groups over some pixels. The moments of an image's parts merge into the whole image's.
public struct GroupMoments: Sendable, Equatable {
    /// Elements of each group.
    public let count: Int
    /// The mean of each group.
    public let means: [Double]
    /// The sum of the squares of the differences from the mean, for each group.
    public let scatters: [Double]

    public init(count: Int, means: [Double], scatters: [Double]) {
        precondition(count > 0 && means.count == scatters.count, "\(means.count) means meet \(scatters.count) scatters")
        (self.count, self.means, self.scatters) = (count, means, scatters)
    }

    /// - Parameters:
    ///   - sums: (runs, 2, channels): sums and sums of squares of x − pivot.
    ///   - addend: is added to x, (channels).
    fileprivate init(
        groups: Int, channels: Int, runs: PixelRuns, sums: UnsafePointer<Float>, pivot: UnsafePointer<Float>,
        addend: UnsafePointer<Float>?
    ) {
        let (width, pixels) = (channels / groups, Double(runs.pixels))
        var means = [Double](repeating: 0, count: groups)
        var scatters = means
        var ofChannels = [Double](repeating: 0, count: width)
        for group in 0..<groups {
            for k in 0..<width {
                let channel = group * width + k
                var (sum, square) = (0.0, 0.0)
                for run in 0..<runs.count {
                    sum += Double(sums[run * 2 * channels + channel])
                    square += Double(sums[run * 2 * channels + channels + channel])
                }
                scatters[group] += square - sum * sum / pixels
                ofChannels[k] = Double(pivot[channel]) + sum / pixels + Double(addend?[channel] ?? 0)
                means[group] += ofChannels[k]
            }
            means[group] /= Double(width)
            for mean in ofChannels { scatters[group] += pixels * (mean - means[group]) * (mean - means[group]) }
        }
        self.init(count: runs.pixels * width, means: means, scatters: scatters)
    }

    /// Whether no number is NaN or infinite.
    public var isFinite: Bool { means.allSatisfy(\.isFinite) && scatters.allSatisfy(\.isFinite) }

    /// The moments of both parts together (Chan, Golub and LeVeque 1979).
    public func merged(with other: GroupMoments) -> GroupMoments {
        precondition(means.count == other.means.count, "\(means.count) groups meet \(other.means.count)")
        let share = Double(other.count) / Double(count + other.count)
        let gaps = zip(other.means, means).map(-)
        return GroupMoments(
            count: count + other.count, means: zip(means, gaps).map { $0 + $1 * share },
            scatters: zip(zip(scatters, other.scatters), gaps).map { $0.0 + $0.1 + $1 * $1 * share * Double(count) })
    }
}

/// Turns moments into a gain and a bias for each channel.
private struct GroupNormParameters {
    let scale: Tensor
    let offset: Tensor
    let epsilon: Float

    /// - Parameters:
    ///   - addend: is part of the moments, (c).
    ///   - target: (2, c): gain and bias, so that norm(x + addend) = x·gain + bias.
    func fold(_ moments: GroupMoments, addend: UnsafePointer<Float>?, c: Int, into target: UnsafeMutablePointer<Float>) {
        let width = c / moments.means.count
        let (gain, bias) = (scale.floats, offset.floats)
        for channel in 0..<c {
            let (mean, scatter) = (moments.means[channel / width], moments.scatters[channel / width])
            let inverse = 1 / (max(0, scatter) / Double(moments.count) + Double(epsilon)).squareRoot()
            let factor = inverse * Double(gain[channel])
            target[channel] = Float(factor)
            target[c + channel] = Float(Double(bias[channel]) + (Double(addend?[channel] ?? 0) - mean) * factor)
        }
    }
}
