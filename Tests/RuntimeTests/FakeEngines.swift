import Foundation
import ImageFiles
import Messages
import Places
import Sentences
import StrictJSON
import Synchronization

@testable import Rendering
@testable import Runtime

/// A job in exact integer arithmetic. At each barrier every task mixes its index with the state, and the state becomes a mix
/// of all results in task order. The final state makes the "picture": equal bytes mean that every result was merged once, in
/// order.
struct FakeJob: JobEngine {
    var barriers: [Int]
    var seed: UInt64
    var cost = 1
    /// Whether it shares its contexts with no other job.
    var hasOwnContexts = false
    /// Called on a job thread before the first barrier, and before each merge.
    var beforeStart: @Sendable () -> Void = {}
    var beforeMerge: @Sendable () -> Void = {}
    private var serial = -1
    private var state: UInt64
    /// Sides of a picture of noise; nil for one that shows the final state.
    var picture: (width: Int, height: Int)?
    /// Whether the outputs of this barrier come one by one.
    var takesEach = false
    /// The outputs that came.
    private var taken: [Int: EncodedPart] = [:]

    init(barriers: [Int], seed: UInt64) {
        self.barriers = barriers
        self.seed = seed
        state = seed
    }

    static let modelIdentity = String(repeating: "ab", count: 32)

    var plan: JobOutline { JobOutline(summaryLines: ["\(barriers.count) barriers"], taskCount: barriers.reduce(0, +)) }
    var model: String { FakeJob.modelIdentity }
    var precision: String?
    /// Counts this engine while somebody keeps it.
    var life: LiveEngines.Life?

    static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
        var z = (a ^ b &* 0x9E37_79B9_7F4A_7C15) &+ 0x2545_F491_4F6C_DD1D
        z = (z ^ (z >> 29)) &* 0xBF58_476D_1CE4_E5B9
        return z ^ (z >> 32)
    }

    static func bytes(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

    static func number(_ bytes: [UInt8]) -> UInt64? {
        guard bytes.count >= 8 else { return nil }
        return bytes.prefix(8).enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
    }

    /// Pixels that no compression makes smaller.
    static func noise(_ size: (width: Int, height: Int), seed: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size.width * size.height * 3 + 8)
        var state = seed
        while bytes.count < size.width * size.height * 3 {
            state = mix(state, UInt64(bytes.count))
            withUnsafeBytes(of: state) { bytes.append(contentsOf: $0) }
        }
        return Array(bytes[..<(size.width * size.height * 3)])
    }

    /// Bytes beside the number in each task and result, to give messages a realistic size.
    static let padding = [UInt8](repeating: 7, count: 4096)

    mutating func start() throws(EngineError) -> EngineBarrier {
        beforeStart()
        return next()
    }

    private mutating func next() -> EngineBarrier {
        serial += 1
        let state = self.state
        let (serial, seed) = (serial, seed)
        let tasks = (0..<barriers[serial]).map { index in
            EngineTask(
                part: {
                    EncodedPart(
                        metadata: [
                            "index": .integer(Int64(index)), "serial": .integer(Int64(serial)), "seed": .integer(Int64(seed)),
                        ],
                        payload: FakeJob.bytes(FakeJob.mix(state, UInt64(index))) + FakeJob.padding)
                }, payloadBytes: 8 + FakeJob.padding.count, cost: 1)
        }
        let own = hasOwnContexts ? String(seed, radix: 16) : ""
        let hash = own + String(String(repeating: serial % 2 == 0 ? "0a" : "0b", count: 32).dropFirst(own.count))
        return EngineBarrier(
            place: Place(phase: serial % 2 == 0 ? "structure" : "detail", step: serial, stepCount: barriers.count),
            phaseNumber: UInt8(serial % 2), tasks: tasks, contextHash: hash,
            context: EncodedPart(metadata: ["name": .string(hash)], payload: [1, 2, 3]), takesEach: takesEach)
    }

    mutating func take(_ output: EncodedPart, of index: Int) throws(EngineError) {
        guard takesEach, output.metadata["index"]?.intValue == index else {
            throw .rejected(index: index, Failure(.payload, "output \(index) belongs to another task"))
        }
        taken[index] = output
    }

    mutating func complete(_ outputs: [EncodedPart]) throws(EngineError) -> EngineOutcome {
        beforeMerge()
        var outputs = outputs
        if takesEach {
            guard outputs.isEmpty, taken.count == barriers[serial] else {
                throw .failed(RuntimeError(.internalFault, "\(taken.count) outputs were taken, \(outputs.count) came"))
            }
            outputs = taken.sorted { $0.key < $1.key }.map(\.value)
            taken = [:]
        }
        for (index, output) in outputs.enumerated() where output.metadata["index"]?.intValue != index {
            throw .rejected(index: index, Failure(.payload, "output \(index) belongs to another task"))
        }
        for output in outputs { state = FakeJob.mix(state, FakeJob.number(output.payload) ?? 0) }
        if serial + 1 < barriers.count { return .barrier(next()) }
        let rgb = FakeJob.bytes(state) + FakeJob.bytes(seed) + FakeJob.bytes(state)
        do throws(RenderError) {
            let size = picture ?? (8, 1)
            let pixels = try PixelFile(
                width: size.width, height: size.height, rgb: picture.map { Self.noise($0, seed: seed) } ?? rgb)
            return .finished(RenderedImage(pixels: pixels, parameters: "state \(state)", details: [:]))
        } catch {
            throw .failed(RuntimeError(error))
        }
    }

    /// The expected picture: the whole job computed here, one task after another.
    static func expectedParameters(barriers: [Int], seed: UInt64) -> String {
        var state = seed
        for count in barriers {
            let results = (0..<count).map { FakeTasks.compute(mix(state, UInt64($0))) }
            for result in results { state = mix(state, result) }
        }
        return "state \(state)"
    }
}

/// The engines that a factory has made, as long as the coordinator keeps them.
final class LiveEngines: Sendable {
    final class Life: Sendable {
        private let engines: LiveEngines

        init(_ engines: LiveEngines) {
            self.engines = engines
            engines.state.withLock { $0 = ($0.made + 1, $0.alive + 1) }
        }

        deinit { engines.state.withLock { $0.alive -= 1 } }
    }

    private let state = Mutex((made: 0, alive: 0))

    var made: Int { state.withLock(\.made) }
    var alive: Int { state.withLock(\.alive) }
}

struct FakeFactory: JobEngineFactory {
    var engines = LiveEngines()
    /// See `FakeJob.picture`.
    var picture: (width: Int, height: Int)?

    func makeEngine(request: EncodedPart, model: String?) throws(RuntimeError) -> any JobEngine {
        let counts = request.metadata["barriers"]?.arrayValue?.compactMap(\.intValue) ?? []
        guard !counts.isEmpty, counts.allSatisfy({ (1...100_000).contains($0) }),
            let seed = request.metadata["seed"]?.intValue, seed >= 0
        else {
            throw RuntimeError(.usage, "The request has no barriers.")
        }
        var job = FakeJob(barriers: counts, seed: UInt64(seed))
        job.life = LiveEngines.Life(engines)
        job.picture = picture
        return job
    }
}

/// The behaviour of a fake worker.
struct FakeBehaviour: Sendable {
    var numericsClass = "fake"
    var precision = "f32"
    var models = [FakeJob.modelIdentity]
    var taskMilliseconds: UInt32 = 0
    /// The most tasks in one call, however many the worker would take.
    var callSize = Int.max
    /// Whether calls with several tasks fail.
    var failsTogether = false
    /// Whether the call with the task of a serial and index lasts as long as anybody waits for it.
    var lasts: @Sendable (Int, Int) -> Bool = { _, _ in false }
    /// Called before each task, with the task's serial and index.
    var beforeTask: @Sendable (Int, Int) throws(Failure) -> Void = { (_, _) throws(Failure) in }
    /// Called when the engine rests.
    var onRest: @Sendable () -> Void = {}
    var beforeOpen: @Sendable () throws(Failure) -> Void = { () throws(Failure) in }
    /// Whether results claim to belong to another task.
    var lies = false
    /// The contexts open on the worker.
    let contexts = OpenContexts()
}

/// Contexts that a fake worker holds, and the most there were at once.
final class OpenContexts: Sendable {
    private let state = Mutex((open: Set<String>(), most: 0))

    var open: Set<String> { state.withLock(\.open) }
    var most: Int { state.withLock(\.most) }

    func change(_ change: (inout Set<String>) -> Void) {
        state.withLock { state in
            change(&state.open)
            state.most = max(state.most, state.open.count)
        }
    }
}

final class FakeTasks: TaskEngine {
    let behaviour: FakeBehaviour
    private(set) var operations: UInt64 = 0
    private(set) var peakActivationBytes = 0

    /// The counted operations of task `index`.
    static func operations(_ index: Int) -> Int { 1_000_000_007 * (index + 1) }

    init(behaviour: FakeBehaviour) { self.behaviour = behaviour }

    func settle(trimming: Bool) { peakActivationBytes = 0 }

    func rest() { behaviour.onRest() }

    var numericsClass: String { behaviour.numericsClass }
    var precision: String { behaviour.precision }
    var models: [String] { behaviour.models }

    static func compute(_ value: UInt64) -> UInt64 { FakeJob.mix(value, 0xDEAD_BEEF) }

    func open(_ context: EncodedPart, named hash: String) throws(Failure) {
        try behaviour.beforeOpen()
        behaviour.contexts.change { $0.insert(hash) }
    }

    func close(_ hash: String) { behaviour.contexts.change { $0.remove(hash) } }

    var groupLimit: Int { Int.max }

    func run(
        _ tasks: [EncodedPart], advanced: @escaping () -> Void, isWanted: @escaping (Int) -> Bool
    ) throws(CallEnd) -> [Result<EncodedPart, Failure>] {
        let call = tasks.prefix(behaviour.callSize)
        if behaviour.failsTogether, call.count > 1 {
            throw .failedTogether(count: call.count, Failure(.nonFinite, "one of them is at fault"))
        }
        if call.contains(where: lasts) {
            while isWanted(call.count) {
                advanced()
                usleep(1000)
            }
            throw .stopped(count: call.count)
        }
        return call.map { task in Result { () throws(Failure) in try run(task) } }
    }

    private func lasts(_ task: EncodedPart) -> Bool {
        guard let index = task.metadata["index"]?.intValue, let serial = task.metadata["serial"]?.intValue else { return false }
        return behaviour.lasts(serial, index)
    }

    private func run(_ task: EncodedPart) throws(Failure) -> EncodedPart {
        guard let index = task.metadata["index"]?.intValue, let serial = task.metadata["serial"]?.intValue,
            let value = FakeJob.number(task.payload)
        else { throw Failure(.payload, "the task is not one of ours") }
        try behaviour.beforeTask(serial, index)
        operations += UInt64(FakeTasks.operations(index))
        peakActivationBytes = max(peakActivationBytes, 1000 * (index + 1))
        if behaviour.taskMilliseconds > 0 { usleep(behaviour.taskMilliseconds * 1000) }
        return EncodedPart(
            metadata: ["index": .integer(Int64(behaviour.lies ? index + 1 : index))],
            payload: FakeJob.bytes(FakeTasks.compute(value)) + FakeJob.padding)
    }
}
