import TensorCore

/// A step of the autoencoder on a tile. Steps with a norm begin with it, so a step needs nothing of other tiles but the norm's
/// moments, and the keys and values of the attention.
enum VAEStep {
    /// A convolution of the input.
    case enter(ConvolutionParameters)
    /// The first half of a residual block.
    case first(ResidualBlock)
    /// The second half, with the sum.
    case second(ResidualBlock)
    case attend(VAEAttention)
    /// A convolution of the image at twice the size.
    case enlarge(ConvolutionParameters)
    /// A convolution of stride 2. The model was trained with zeros only at the right and the bottom.
    case reduce(ConvolutionParameters)
    /// The last norm, SiLU and convolution.
    case leave(GroupNorm, ConvolutionParameters)

    /// The norm that it begins with.
    var norm: GroupNorm? {
        switch self {
        case .enter, .enlarge, .reduce: nil
        case .first(let block): block.norm1
        case .second(let block): block.norm2
        case .attend(let attention): attention.norm
        case .leave(let norm, _): norm
        }
    }

    var kind: VAEStepKind {
        switch self {
        case .enter: .enter
        case .first: .first
        case .second: .second
        case .attend: .attend
        case .enlarge: .enlarge
        case .reduce: .reduce
        case .leave: .leave
        }
    }
}

/// The steps of an encoder or a decoder.
struct VAESteps {
    let steps: [VAEStep]
    let geometry: VAEGeometry

    init(_ steps: [VAEStep]) { (self.steps, geometry) = (steps, VAEGeometry(steps.map(\.kind))) }
}

/// A tile of an image between two steps of the autoencoder.
struct VAETile {
    /// The input of each step for this tile.
    let boxes: [ImageBox]
    /// The next step.
    private(set) var step = 0
    /// The input of the next step, (1, h, w, c).
    private(set) var hidden: Tensor
    /// The tensor that the second half of a residual block adds, (1, h, w, c), as large as the block's result.
    private(set) var identity: Tensor?

    init(_ input: Tensor, boxes: [ImageBox]) {
        precondition(Array(input.shape[1...2]) == [boxes[0].height, boxes[0].width], "\(input.shape) is no \(boxes[0])")
        (hidden, self.boxes) = (input, boxes)
    }

    /// A tile before a later step.
    init(_ hidden: Tensor, identity: Tensor?, before step: Int, boxes: [ImageBox]) {
        (self.hidden, self.identity, self.step, self.boxes) = (hidden, identity, step, boxes)
    }

    /// Its shape, without numbers.
    struct Form {
        fileprivate let boxes: [ImageBox]
        let step: Int
        fileprivate let hidden: (shape: [Int], type: ElementType)
        fileprivate let identity: (shape: [Int], type: ElementType)?
    }

    var form: Form {
        Form(
            boxes: boxes, step: step, hidden: (hidden.shape, hidden.elementType),
            identity: identity.map { ($0.shape, $0.elementType) })
    }

    /// A tile whose numbers are still to be put into its memory.
    init(_ form: Form, _ context: ComputeContext) {
        (boxes, step) = (form.boxes, form.step)
        hidden = context.empty(form.hidden.shape, of: form.hidden.type)
        identity = form.identity.map { context.empty($0.shape, of: $0.type) }
    }

    /// The memory of its tensors.
    var memory: [UnsafeMutableRawBufferPointer] { [hidden.memory] + (identity.map { [$0.memory] } ?? []) }

    /// Bytes of its tensors.
    var byteCount: Int { hidden.rawBytes.count + (identity?.rawBytes.count ?? 0) }

    /// Runs the next step.
    ///
    /// - Parameters:
    ///   - image: the whole input of the step.
    ///   - moments: of the step's norm, over the whole image.
    ///   - keys: the image's keys and values, in parts.
    mutating func run(
        _ next: VAEStep, of image: ImageBox, moments: GroupMoments?, keys: VAEKeys?, _ context: ComputeContext
    ) throws(ComputeError) {
        let (box, result) = (boxes[step], boxes[step + 1])
        // The part of the input that the result is computed from.
        let source = next.kind.source(of: result, in: image)
        let part = source.relative(to: box)
        let x = hidden
        switch next {
        case .enter(let parameters):
            let x = context.cropped(x, rows: part.rows, columns: part.columns)
            hidden = try context.convolution(x, parameters, padding: Padding(result, in: image))
        case .first(let block):
            // The sum needs no more than the block's result.
            let last = boxes[step + 2].relative(to: box)
            var same = context.cropped(x, rows: last.rows, columns: last.columns)
            if let shortcut = block.shortcut { same = try context.linear(same, shortcut) }
            identity = same
            hidden = try context.convolution(
                ofSize: (part.height, part.width), block.conv1, padding: Padding(result, in: image),
                rows: normed(x, part, block.norm1, moments, context))
        case .second(let block):
            hidden = try context.convolution(
                ofSize: (part.height, part.width), block.conv2, padding: Padding(result, in: image), residual: identity,
                rows: normed(x, part, block.norm2, moments, context))
            identity = nil
        case .attend(let attention):
            guard let moments, let keys else { preconditionFailure("attention without moments or keys") }
            hidden = try keys.cells.attended(x, box, in: image, context) { points throws(ComputeError) in
                try attention(x, points, moments, keys, context)
            }
        case .enlarge(let parameters):
            let large = result.expanded(by: 1, in: image.scaled(by: 2)).relative(to: box.scaled(by: 2))
            hidden = try context.convolution(
                ofSize: (large.height, large.width), parameters, padding: Padding(result, in: image.scaled(by: 2))
            ) { rows in
                context.doubled(x, rows: rows.shifted(by: large.rows.lowerBound), columns: large.columns)
            }
        case .reduce(let parameters):
            let ends = (2 * result.rows.upperBound + 1, 2 * result.columns.upperBound + 1)
            hidden = try context.convolution(
                context.cropped(x, rows: part.rows, columns: part.columns), parameters, stride: 2,
                padding: Padding(
                    top: 0, left: 0, bottom: ends.0 > image.rows.upperBound ? 1 : 0,
                    right: ends.1 > image.columns.upperBound ? 1 : 0))
        case .leave(let norm, let parameters):
            hidden = try context.convolution(
                ofSize: (part.height, part.width), parameters, padding: Padding(result, in: image), as: .f32,
                rows: normed(x, part, norm, moments, context))
        }
        step += 1
    }

    /// The rows of a part of x after norm and SiLU.
    private func normed(
        _ x: Tensor, _ part: ImageBox, _ norm: GroupNorm, _ moments: GroupMoments?, _ context: ComputeContext
    ) -> (Range<Int>) -> Tensor {
        guard let moments else { preconditionFailure("a norm without moments") }
        return { rows in
            let box = ImageBox(rows: rows.shifted(by: part.rows.lowerBound), columns: part.columns)
            return norm(x, box, moments, silu: true, context)
        }
    }
}

extension Range<Int> {
    fileprivate func shifted(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }
}

extension Padding {
    /// Zeros at the sides where a part of a 3×3 convolution's result lies at the border of the image.
    fileprivate init(_ result: ImageBox, in image: ImageBox) {
        self.init(
            top: result.rows.lowerBound == 0 ? 1 : 0, left: result.columns.lowerBound == 0 ? 1 : 0,
            bottom: result.rows.upperBound == image.rows.upperBound ? 1 : 0,
            right: result.columns.upperBound == image.columns.upperBound ? 1 : 0)
    }
}
