import ArgumentParser
import ContentHash
import Messages
import Rendering
import StrictJSON
import Weights
import ZMQSockets

/// `patchloom-bench wire`: one patch on its way to a worker and back.
struct WireBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wire", abstract: "Times the messages of one patch: coding, checking, and the way over ZeroMQ and back.",
        discussion: """
            The task is the first patch of a picture by CutDiffusion, as a coordinator sends it. The round trip goes over TCP \
            on the loopback to a thread that decodes the task and answers with a result of its size.
            """)

    @Option(help: "Architecture: sd15, sd21, sdxl or embedded.") var family = BenchFamily.sd15
    @OptionGroup var reporting: RunOptions
    @OptionGroup var checks: CheckOptions

    func run() throws {
        let patch = try WirePatch(family)
        let (lease, result) = (try patch.lease(), try patch.result())
        let (leaseFrames, resultFrames) = (try lease.frames(), try result.frames())
        var report = SuiteReport("wire")
        report.settings = [("family", .string(family.rawValue))]
        let timing = try RoundTrip.timing(leaseFrames, answer: resultFrames, runs: reporting.runs)
        report.timing = timing
        let (leaseBytes, resultBytes) = (leaseFrames.reduce(0) { $0 + $1.count }, resultFrames.reduce(0) { $0 + $1.count })
        report.parts = [
            SuiteReport.Part(
                name: "lease: task to frames", timing: try time { _ = try patch.lease().frames() }, bytes: leaseBytes),
            SuiteReport.Part(
                name: "lease: frames to task", timing: try time { _ = try WirePatch.task(in: leaseFrames) }, bytes: leaseBytes),
            SuiteReport.Part(
                name: "result: output to frames", timing: try time { _ = try patch.result().frames() }, bytes: resultBytes),
            SuiteReport.Part(
                name: "result: frames to output", timing: try time { _ = try patch.output(in: resultFrames) },
                bytes: resultBytes),
            SuiteReport.Part(name: "there and back", timing: timing, bytes: leaseBytes + resultBytes),
        ]
        report.counts = [
            ("lease_bytes", leaseBytes), ("result_bytes", resultBytes), ("bytes_per_patch", leaseBytes + resultBytes),
        ]
        report.checks = try checks.applied(to: patch.checks())
        try report.finish(json: reporting.json)
    }

    private func time(_ body: () throws -> Void) rethrows -> Timing { try Timing(runs: reporting.runs, body) }
}

/// A denoising task and a result for it, in the messages that carry them.
struct WirePatch {
    let task: RenderTask
    let shape: OutputShape

    /// The first patch of a picture at twice the native size.
    init(_ family: BenchFamily) throws {
        let model = try ModelDescription(source: family.source)
        var request = RenderRequest()
        request.prompt = "a harbour at dawn"
        (request.width, request.height) = (2 * model.nativeSize, 2 * model.nativeSize)
        (request.method, request.steps) = (.cut, 4)
        var machine = try RenderMachine(request: request, model: model)
        _ = machine.start()
        // The prompts' real embeddings do not change the task's size.
        let embeddings = machine.expectedOutputs.map { shape in
            let (rows, tokens, width) = (shape["rows"], shape["tokens"], shape["width"])
            return TaskOutput.embeddings(
                rows: rows, tokens: tokens, width: width, values: [Float](repeating: 0.5, count: rows * tokens * width),
                pooled: [Float](repeating: 0.5, count: rows * shape["pooled"]))
        }
        guard case .barrier(let barrier) = try machine.complete(embeddings), let first = barrier.tasks.first,
            let output = machine.expectedOutputs.first
        else { throw ValidationError("The plan has no patch to send.") }
        (task, shape) = (first, output)
    }

    private var address: Header.Address {
        var address = Header.Address(epoch: 1, session: 1, sequence: 1, lease: 1, job: .random())
        (address.step, address.taskIndex) = (UInt32(task.call), UInt32(task.index))
        return address
    }

    func lease() throws -> Packet {
        let encoded = task.encoded()
        let part = EncodedPart(metadata: encoded.metadata, payload: encoded.payload)
        return Packet(.lease(LeaseGrant(context: task.contextHash.hex, milliseconds: 120_000, task: part)), address)
    }

    func result() throws -> Packet {
        let (channels, height, width) = (shape["channels"], shape["height"], shape["width"])
        let values = [Float](repeating: 0.25, count: channels * height * width)
        let encoded = TaskOutput.prediction(Latent(channels: channels, height: height, width: width, values: values)).encoded()
        let output = EncodedPart(metadata: encoded.metadata, payload: encoded.payload)
        let effort = TaskResult.Effort(operations: 1 << 40, peakBytes: 1 << 32, peakActivationBytes: 1 << 30)
        return Packet(
            .result(TaskResult(computeMicroseconds: 1_000_000, wireMicroseconds: 1_000, effort: effort, output: output)),
            address)
    }

    /// The task as a worker reads it.
    static func task(in frames: [[UInt8]]) throws -> RenderTask {
        guard case .lease(let grant) = try Packet(frames: frames, frameCount: frames.count).message else {
            throw ValidationError("The frames hold no lease.")
        }
        return try RenderTask(metadata: grant.task.metadata, payload: grant.task.payload)
    }

    /// The output as the coordinator reads it.
    func output(in frames: [[UInt8]]) throws -> TaskOutput {
        guard case .result(let result) = try Packet(frames: frames, frameCount: frames.count).message else {
            throw ValidationError("The frames hold no result.")
        }
        return try TaskOutput(shape, metadata: result.output.metadata, payload: result.output.payload)
    }

    /// The most bytes of header and metadata around the numbers of a patch, in one message.
    private static let wrappingMax = 1024

    /// The numbers of a patch go to a worker once and come back once, as f32, with little around them. They arrive as they were
    /// sent.
    func checks() throws -> [CountCheck] {
        let (lease, result) = (try lease().frames(), try result().frames())
        let numbers = shape["height"] * shape["width"] * MemoryLayout<Float>.size
        let channels = task.encoded().metadata["channels"]?.intValue ?? 0
        let arrived = try WirePatch.task(in: lease)
        return [
            CountCheck(name: "wire.lease_payload", counted: lease[2].count, .exactly(channels * numbers)),
            CountCheck(name: "wire.result_payload", counted: result[2].count, .exactly(shape["channels"] * numbers)),
            CountCheck(name: "wire.lease_wrapping", counted: lease[0].count + lease[1].count, .atMost(Self.wrappingMax)),
            CountCheck(name: "wire.result_wrapping", counted: result[0].count + result[1].count, .atMost(Self.wrappingMax)),
            CountCheck(name: "wire.changed_tasks", counted: arrived == task ? 0 : 1, .exactly(0)),
        ]
    }
}

/// Two ends of one connection on the loopback. This thread plays both: libzmq's own thread moves the bytes.
private struct RoundTrip: ~Copyable {
    private let coordinator: Socket
    private let worker: Socket
    /// The name of the worker's socket on the coordinator's.
    private let name: [UInt8]
    private let answer: [[UInt8]]

    /// - Parameter answer: the worker's frames.
    private static func open(_ context: Context, answer: [[UInt8]]) throws -> RoundTrip {
        var endpoint = try Endpoint(parsing: "tcp://127.0.0.1:15000")
        let coordinator = try listen(context, at: &endpoint)
        let worker = try Socket(context, .dealer, maxFrameBytes: WireLimits.socketFrameBytes, for: endpoint)
        try worker.connect(endpoint)
        try send([Array("ready".utf8)], from: worker)
        let name = try receive(coordinator)[0]
        return RoundTrip(coordinator: coordinator, worker: worker, name: name, answer: answer)
    }

    /// A socket at a free port of the loopback.
    ///
    /// - Parameter endpoint: becomes its address.
    private static func listen(_ context: Context, at endpoint: inout Endpoint) throws -> Socket {
        var refusal = ""
        for _ in 0..<100 {
            endpoint = try Endpoint(parsing: "tcp://127.0.0.1:\(Int.random(in: 15_000..<32_000))")
            do throws(ZMQError) {
                let socket = try Socket(context, .router, maxFrameBytes: WireLimits.socketFrameBytes, for: endpoint)
                try socket.bind(endpoint)
                return socket
            } catch {
                refusal = error.message
            }
        }
        throw ValidationError("No port of the loopback can be used: \(refusal).")
    }

    /// Sends `frames` to the worker, which reads the task in them and answers, again and again.
    static func timing(_ frames: [[UInt8]], answer: [[UInt8]], runs: Int) throws -> Timing {
        let context = try Context()
        defer { context.terminate() }
        // The sockets are closed when this call returns; only then may the context end.
        return try open(context, answer: answer).timing(frames, runs: runs)
    }

    private func timing(_ frames: [[UInt8]], runs: Int) throws -> Timing {
        try Timing(runs: runs) {
            try Self.send([name] + frames, from: coordinator)
            _ = try WirePatch.task(in: Self.receive(worker))
            try Self.send(answer, from: worker)
            _ = try Self.receive(coordinator)
        }
    }

    /// The longest wait for a message.
    private static let patience = Duration.seconds(10)

    private static func send(_ frames: [[UInt8]], from socket: borrowing Socket) throws {
        let deadline = ContinuousClock.now + patience
        var poller = Poller(descriptors: [])
        while try socket.send(frames) != .queued {
            guard ContinuousClock.now < deadline else { throw ValidationError("A message could not be sent in \(patience).") }
            _ = try poller.wait(for: socket, toSend: true, milliseconds: 10)
        }
    }

    private static func receive(_ socket: borrowing Socket) throws -> [[UInt8]] {
        let deadline = ContinuousClock.now + patience
        var poller = Poller(descriptors: [])
        while true {
            if let message = try socket.receive(keeping: WireLimits.frameCount + 1) { return message.frames }
            guard ContinuousClock.now < deadline else { throw ValidationError("No message arrived in \(patience).") }
            _ = try poller.wait(for: socket, milliseconds: 1000)
        }
    }
}
