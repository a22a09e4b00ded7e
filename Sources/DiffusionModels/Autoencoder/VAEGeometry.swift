/// The kind of a `VAEStep`: it decides which part of an image a part of the result is computed from.
enum VAEStepKind {
    case enter
    case first
    case second
    case attend
    case enlarge
    case reduce
    case leave

    /// Whether it begins with a norm.
    var hasNorm: Bool {
        switch self {
        case .enter, .enlarge, .reduce: false
        case .first, .second, .attend, .leave: true
        }
    }

    /// The multiple at which the sides of its input's parts lie.
    ///
    /// With even sides tiles of 2×2 results lie as in the whole image, so that Winograd's convolutions give its bits. Attention
    /// is computed by cells.
    var alignment: Int { self == .attend ? AttentionCells.side : 2 }

    /// The size of its result for an image.
    func result(of image: ImageBox) -> ImageBox {
        switch self {
        case .enlarge: image.scaled(by: 2)
        case .reduce: image.map { 0..<($0.upperBound / 2) }
        default: image
        }
    }

    /// The part of an image that a part of the result is computed from.
    func source(of box: ImageBox, in image: ImageBox) -> ImageBox {
        switch self {
        case .enter, .first, .second, .leave: box.expanded(by: 1, in: image)
        case .attend: box
        case .enlarge:
            box.expanded(by: 1, in: image.scaled(by: 2)).map { $0.lowerBound / 2..<($0.upperBound + 1) / 2 }
        case .reduce: box.map { 2 * $0.lowerBound..<2 * $0.upperBound + 1 }.clamped(to: image)
        }
    }
}

/// The parts of images that an encoder's or a decoder's steps see.
struct VAEGeometry {
    let steps: [VAEStepKind]
    /// The steps that begin with a norm.
    let norms: [Int]
    /// The attention; nil if there is none.
    let attention: Int?

    init(_ steps: [VAEStepKind]) {
        self.steps = steps
        norms = steps.indices.filter { steps[$0].hasNorm }
        attention = steps.firstIndex(of: .attend)
    }

    /// The input of each step for an image, and the result of the last one.
    func images(of input: ImageBox) -> [ImageBox] {
        steps.reduce(into: [input]) { images, step in images.append(step.result(of: images[images.count - 1])) }
    }

    /// The part of each step's input from which a part of the input of step `end` is computed; this part comes last. All are
    /// aligned, so they may be larger than `box` and than the next step needs.
    func boxes(for box: ImageBox, before end: Int, images: [ImageBox]) -> [ImageBox] {
        parts(of: box, 0..<end, images: images)
    }

    /// The parts of the images of some steps only, for a tile that begins before the first of them. The tensor that a residual
    /// block adds has the extents of `box`.
    func boxes(for box: ImageBox, _ part: Range<Int>, images: [ImageBox]) -> [ImageBox] {
        let parts = parts(of: box, part, images: images)
        return [ImageBox](repeating: parts[0], count: part.lowerBound) + parts + [box]
    }

    /// The same from the input of another step than the first on.
    private func parts(of box: ImageBox, _ part: Range<Int>, images: [ImageBox]) -> [ImageBox] {
        var boxes = [box.aligned(to: 2, in: images[part.upperBound])]
        for index in part.reversed() {
            let step = steps[index]
            // The result of a step of cells is whole cells too.
            boxes[boxes.count - 1] = boxes[boxes.count - 1].aligned(to: step.alignment, in: images[index + 1])
            boxes.append(
                step.source(of: boxes[boxes.count - 1], in: images[index]).aligned(to: step.alignment, in: images[index]))
        }
        return boxes.reversed()
    }
}
