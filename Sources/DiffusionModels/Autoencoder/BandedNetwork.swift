import ScratchFiles
import Sentences
public import TensorCore

/// An image by rows, for networks that never need all of it at once.
public struct ImageRows {
    public let height: Int
    public let width: Int
    /// Gives rows of the image, (1, rows, w, c), f32.
    let rows: (Range<Int>) -> Tensor

    public init(height: Int, width: Int, rows: @escaping (Range<Int>) -> Tensor) {
        (self.height, self.width, self.rows) = (height, width, rows)
    }
}

/// A whole image on its way through a network, in bands of rows. Between two group norms the image lies in a scratch file, if
/// it is too large for memory; beside it memory holds a band only. One process does it all: it has the neighbours of each band,
/// and computes nothing twice but the rows between two bands.
struct BandedNetwork {
    let network: TiledNetwork
    let source: ImageRows
    /// About the bytes of a band's largest tensor.
    let bandBytes: Int
    /// The most bytes of an image between two sections that lie in memory.
    let memoryBytes: Int

    /// About the bytes of a point behind the first convolution.
    private var firstBytes: Int { 128 * context.precision.byteCount }
    private var steps: VAESteps { network.steps }
    private var context: ComputeContext { network.context }

    /// - Parameter take: gets the rows of the result, from the top, (1, rows, w, c), f32.
    func run(_ take: (Tensor) -> Void) throws(ComputeError) {
        let sizes = steps.geometry.images(of: ImageBox(height: source.height, width: source.width))
        var (moments, input): ([GroupMoments], SectionFile?) = ([], nil)
        for end in steps.geometry.norms + [steps.steps.count] {
            let start = input?.step ?? 0
            let output = SectionFile(step: end, image: sizes[end], memoryBytes: memoryBytes / 4)
            var whole: GroupMoments?
            let keys = input.flatMap { self.keys(of: $0, moments) }
            for band in bands(start..<end, sizes, bytesPerPoint: input?.bytesPerPoint ?? firstBytes) {
                var tile = try begin(band, start..<end, sizes, input)
                while tile.step < end {
                    let norm = steps.geometry.norms.firstIndex(of: tile.step).map { moments[$0] }
                    try tile.run(steps.steps[tile.step], of: sizes[tile.step], moments: norm, keys: keys, context)
                }
                let own = band.relative(to: tile.boxes[end])
                if end == steps.steps.count {
                    take(try network.finish(context.cropped(tile.hidden, rows: own.rows, columns: own.columns)))
                } else if let norm = steps.steps[end].norm {
                    let part = norm.moments(of: tile.hidden, own, context)
                    whole = whole?.merged(with: part) ?? part
                    try output.write(tile, band, context)
                }
            }
            if let whole { moments.append(whole) }
            input = output
        }
    }

    /// The parts of the image before step `part.upperBound` that are computed at once: whole cells of the attention.
    ///
    /// - Parameter bytesPerPoint: of the image before the first step.
    private func bands(_ part: Range<Int>, _ sizes: [ImageBox], bytesPerPoint: Int) -> [ImageBox] {
        let (from, to) = (sizes[part.lowerBound], sizes[part.upperBound])
        // One row of the result is computed from this number of rows.
        let sourceRows = max(1, from.height / to.height)
        let rows = max(1, bandBytes / (bytesPerPoint * from.width * sourceRows) / AttentionCells.side) * AttentionCells.side
        return stride(from: 0, to: to.height, by: rows).map {
            ImageBox(rows: $0..<min(to.height, $0 + rows), columns: to.columns)
        }
    }

    /// A band before the first of some steps.
    private func begin(
        _ band: ImageBox, _ part: Range<Int>, _ sizes: [ImageBox], _ input: SectionFile?
    ) throws(ComputeError) -> VAETile {
        let boxes = steps.geometry.boxes(for: band, part, images: sizes)
        guard let input else { return VAETile(try network.prepare(source.rows(boxes[0].rows)), boxes: boxes) }
        return try input.tile(boxes, context)
    }

    /// The keys and values of the attention that comes next; nil if another step does.
    private func keys(of input: SectionFile, _ moments: [GroupMoments]) -> VAEKeys? {
        guard case .attend(let attention) = steps.steps[input.step], let norm = moments.last else { return nil }
        let image = input.image
        let kept = TiledImage(Tensor(uninitialized: [1, 1, 1, 1]), grid: TileGrid(height: image.height, width: image.width))
        kept.keptLimit = bandBytes
        kept.sharesCells = false
        let run = max(1, kept.keysAtOnce / context.keyMultiple) * context.keyMultiple
        let parts = (image.pointCount + run - 1) / run
        return VAEKeys(cells: AttentionCells(image: kept), parts: parts) { part throws(ComputeError) in
            try kept.keys(part, of: parts, context) { () throws(ComputeError) in
                let tokens = part * run..<min((part + 1) * run, image.pointCount)
                let rows = tokens.lowerBound / image.width..<(tokens.upperBound + image.width - 1) / image.width
                let first = tokens.lowerBound - rows.lowerBound * image.width
                return try attention.keys(
                    of: input.hidden(rows, context), tokens: first..<first + tokens.count, norm, context)
            }
        }
    }
}

/// The image before a step that begins with a norm, in a scratch file.
private final class SectionFile {
    /// One tensor of the image, by rows.
    private struct Plane {
        let type: ElementType
        let channels: Int
        /// The file of the rows; nil in a rehearsal, which has no rows to keep.
        let file: ScratchFile?

        func place(_ row: Int, width: Int) -> Int { row * width * channels * type.byteCount }
    }

    let step: Int
    let image: ImageBox
    private let memoryBytes: Int
    private var hidden: Plane?
    private var identity: Plane?

    /// - Parameter memoryBytes: planes of at most this number of bytes lie in memory.
    init(step: Int, image: ImageBox, memoryBytes: Int) {
        (self.step, self.image, self.memoryBytes) = (step, image, memoryBytes)
    }

    /// Bytes of a point in all its tensors.
    var bytesPerPoint: Int { [hidden, identity].reduce(0) { $0 + ($1.map { $0.channels * $0.type.byteCount } ?? 0) } }

    /// Takes the rows of a band from a tile that waits before its step.
    func write(_ tile: VAETile, _ band: ImageBox, _ context: ComputeContext) throws(ComputeError) {
        try write(tile.hidden, tile.boxes[step], band, to: &hidden, context)
        if let same = tile.identity { try write(same, band, band, to: &identity, context) }
    }

    private func write(
        _ x: Tensor, _ box: ImageBox, _ band: ImageBox, to plane: inout Plane?, _ context: ComputeContext
    ) throws(ComputeError) {
        do throws(ScratchError) {
            let (type, channels) = (x.elementType, x.shape[3])
            if plane == nil {
                let bytes = image.pointCount * channels * type.byteCount
                let file = context.rehearses ? nil : try ScratchFile(bytes: bytes, memoryLimit: memoryBytes)
                plane = Plane(type: type, channels: channels, file: file)
            }
            guard let own = plane, let file = own.file else { return }
            let first = own.place(band.rows.lowerBound - box.rows.lowerBound, width: image.width)
            let bytes = x.rawBytes[first..<first + own.place(band.height, width: image.width)]
            try file.write(UnsafeRawBufferPointer(rebasing: bytes), at: own.place(band.rows.lowerBound, width: image.width))
        } catch {
            throw ComputeError(error.description)
        }
    }

    /// Rows of the input of its step, (1, rows, w, c).
    func hidden(_ rows: Range<Int>, _ context: ComputeContext) throws(ComputeError) -> Tensor {
        guard let hidden else { preconditionFailure("a section without rows") }
        return try read(rows, of: hidden, context)
    }

    private func read(_ rows: Range<Int>, of plane: Plane, _ context: ComputeContext) throws(ComputeError) -> Tensor {
        let x = context.empty([1, rows.count, image.width, plane.channels], of: plane.type)
        do throws(ScratchError) {
            try plane.file?.read(into: x.memory, at: plane.place(rows.lowerBound, width: image.width))
        } catch {
            throw ComputeError(error.description)
        }
        return x
    }

    /// A tile before its step.
    func tile(_ boxes: [ImageBox], _ context: ComputeContext) throws(ComputeError) -> VAETile {
        // The added tensor has the rows of the block's result, not those of its input.
        let same = try identity.map { (plane) throws(ComputeError) in try read(boxes[step + 1].rows, of: plane, context) }
        return VAETile(try hidden(boxes[step].rows, context), identity: same, before: step, boxes: boxes)
    }
}
