public import Acceleration

/// One kind of U-Net call that a render makes, and how often. Calls of a kind take the same time.
public struct UNetCalls: Sendable, Equatable {
    /// The input of one image, sides in latents.
    public let channels: Int
    public let height: Int
    public let width: Int
    /// Of the first call of the kind; others differ in the shifts of their windows and in which tokens are merged.
    public let plan: UNetPlan
    /// Calls with a single image each: a task with guidance makes two.
    public private(set) var evaluations: Int

    /// All that a render does, by driving it with blank results: so whatever methods there are, these are their calls.
    ///
    /// - Parameter machine: not started.
    /// - Returns: kinds in the order in which they first come.
    /// - Throws: what `RenderMachine` throws.
    public static func all(of machine: RenderMachine) throws(RenderError) -> [UNetCalls] {
        var machine = machine
        let embeddings = machine.embeddingShape
        var calls: [UNetCalls] = []
        var barrier = machine.start()
        while true {
            count(barrier, in: &calls)
            let outputs = barrier.tasks.map { $0.blankOutput(channels: machine.plan.latentChannels, embeddings) }
            guard case .barrier(let next) = try machine.complete(outputs) else { return calls }
            barrier = next
        }
    }

    private static func count(_ barrier: Barrier, in calls: inout [UNetCalls]) {
        for task in barrier.tasks {
            guard case .denoise(let work) = task.work else { continue }
            let images = work.guidance > 1 ? 2 : 1
            let one = UNetCalls(
                channels: work.latent.channels, height: work.latent.height, width: work.latent.width, plan: work.plan,
                evaluations: images)
            if let known = calls.firstIndex(where: { $0.isOfOneKind(with: one) }) {
                calls[known].evaluations += images
            } else {
                calls.append(one)
            }
        }
    }

    /// Whether a call of either takes the same time.
    public func isOfOneKind(with other: UNetCalls) -> Bool {
        (channels, height, width) == (other.channels, other.height, other.width)
            && plan.withoutChance == other.plan.withoutChance
    }
}

extension UNetPlan {
    /// The plan without what is drawn anew for each step or follows from a view's place.
    fileprivate var withoutChance: UNetPlan {
        var plan = self
        plan.windowShifts = windowShifts.map { [UInt8](repeating: 0, count: $0.count) }
        (plan.tokens.seed, plan.tokens.step) = (0, 0)
        (plan.tokens.originRow, plan.tokens.originColumn) = (0, 0)
        return plan
    }
}

extension RenderTask {
    /// Zeros in the shape of the task's output.
    fileprivate func blankOutput(channels: Int, _ embeddings: EmbeddingShape) -> TaskOutput {
        func zeros(_ channels: Int, _ height: Int, _ width: Int) -> Latent {
            Latent(
                channels: channels, height: height, width: width,
                values: [Float](repeating: 0, count: channels * height * width))
        }
        switch work {
        case .encode:
            return .embeddings(
                rows: embeddings.rows, tokens: embeddings.tokens, width: embeddings.width,
                values: [Float](repeating: 0, count: embeddings.rows * embeddings.tokens * embeddings.width),
                pooled: [Float](repeating: 0, count: embeddings.pooled))
        case .encodePicture(let picture):
            let scale = Self.autoencoderScale
            return .moments(zeros(2 * channels, picture.height / scale, picture.width / scale))
        case .denoise(let work):
            return .prediction(zeros(channels, work.latent.height, work.latent.width))
        case .decode(let latent):
            let (height, width) = (latent.height * Self.autoencoderScale, latent.width * Self.autoencoderScale)
            return .pixels(width: width, height: height, rgb: [UInt8](repeating: 0, count: 3 * height * width))
        }
    }

    /// Pixels of one latent side; a `ModelDescription` has no other.
    private static let autoencoderScale = 8
}
