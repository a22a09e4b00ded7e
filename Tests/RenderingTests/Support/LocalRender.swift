public import Rendering
import TensorCore
import Testing
import Weights

/// A whole render in one thread: every barrier's tasks go through their wire form and a task runner.
struct LocalRender {
    let runner: TaskRunner
    let model: ModelDescription

    init(_ source: ModelSource = .embeddedModel, backend: BackendChoice = .auto, threads: Int = 2) throws {
        runner = try TaskRunner(models: [source], backend: backend, threads: threads)
        model = try ModelDescription(source: source)
    }

    /// - Parameter order: the order in which a barrier's tasks are computed, by their number; a task may be computed again.
    func image(_ request: RenderRequest, order: (Int) -> [Int] = { Array(0..<$0) }) throws -> RenderedImage {
        try image(RenderMachine(request: request, model: model), order: order)
    }

    func image(_ machine: RenderMachine, order: (Int) -> [Int] = { Array(0..<$0) }) throws -> RenderedImage {
        var render = OngoingRender(machine)
        while render.image == nil { try render.advance(runner, order: order) }
        return try render.finished
    }
}

extension RenderedImage {
    var width: Int { pixels.width }
    var height: Int { pixels.height }
    /// All pixels. If they cannot be read, the test fails.
    var rgb: [UInt8] {
        do { return try pixels.rgb } catch {
            Issue.record(error)
            return []
        }
    }
}

extension RenderedImage: Equatable {
    /// Whether all pixels and texts are equal.
    public static func == (left: RenderedImage, right: RenderedImage) -> Bool {
        (left.width, left.height, left.parameters, left.details) == (right.width, right.height, right.parameters, right.details)
            && left.rgb == right.rgb
    }
}

/// A render that is carried on barrier by barrier.
struct OngoingRender {
    private var machine: RenderMachine
    private(set) var barrier: Barrier
    private(set) var image: RenderedImage?

    init(_ machine: RenderMachine) {
        self.machine = machine
        barrier = self.machine.start()
    }

    var finished: RenderedImage {
        get throws {
            guard let image else { throw RenderError(.malformed, "The render is not finished.") }
            return image
        }
    }

    /// Computes and merges one barrier.
    ///
    /// - Parameter compute: computes a task.
    mutating func advance(
        _ runner: TaskRunner, order: (Int) -> [Int] = { Array(0..<$0) },
        compute: (TaskRunner, RenderTask) throws -> TaskOutput = { try $0.run($1) }
    ) throws {
        for context in [barrier.base, barrier.context].compactMap({ $0?.encoded() }) {
            try runner.open(JobContext(metadata: context.metadata, payload: context.payload))
        }
        var outputs = [TaskOutput?](repeating: nil, count: barrier.tasks.count)
        for index in order(barrier.tasks.count) {
            let task = barrier.tasks[index].encoded()
            #expect(barrier.tasks[index].payloadBytes == task.payload.count)
            let output = try compute(runner, RenderTask(metadata: task.metadata, payload: task.payload)).encoded()
            outputs[index] = try TaskOutput(
                machine.expectedOutputs[index], metadata: output.metadata, payload: output.payload)
        }
        switch try machine.complete(outputs.compactMap { $0 }) {
        case .barrier(let next): barrier = next
        case .finished(let image): self.image = image
        }
    }
}
