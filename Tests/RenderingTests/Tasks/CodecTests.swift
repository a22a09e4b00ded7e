import Acceleration
import ContentHash
import StrictJSON
import TensorCore
import TestSupport
import Testing

@testable import Rendering

/// Tasks, outputs and contexts in their wire form.
@Suite struct CodecTests {
    private static let hash = SHA256Digest(of: Array("context".utf8))

    private static func latent(_ seed: UInt64, _ channels: Int = 4, _ height: Int = 3, _ width: Int = 5) -> Latent {
        var numbers = TestNumbers(seed: seed)
        var values = numbers.floats(channels * height * width, scale: 3)
        // A careless conversion would lose these.
        values[0] = -0.0
        values[1] = .leastNonzeroMagnitude
        values[2] = .greatestFiniteMagnitude
        values[3] = 1 + .ulpOfOne
        return Latent(channels: channels, height: height, width: width, values: values)
    }

    private static func task(_ phase: RenderPhase, _ work: any TaskWork) -> RenderTask {
        RenderTask(phase: phase, call: 24, index: 840, contextHash: hash, work: work)
    }

    private static func denoise(_ switches: UNetSwitches) -> DenoiseWork {
        DenoiseWork(latent: latent(7), timestep: 0.1, guidance: 7.3, switches: switches)
    }

    static let tasks: [RenderTask] = [
        task(.encode, EncodeWork(ids: [[[0, 1, 2558, 49407]]])),
        task(.encode, EncodeWork(ids: [[[1, 2, 3], [4, 5, .max]], [[7, 0, 0], [8, 9, 1]]], skippedLayers: 11)),
        task(.denoise, denoise(.plain)),
        task(.structure, denoise(UNetSwitches(rad: true, pool: true, windowShifts: [0, 1, 2, 3, 3]))),
        task(.detail, denoise(UNetSwitches(rad: false, pool: true, windowShifts: []))),
        task(.decode, DecodeWork(tile: 7, section: 3, height: 16, width: 9, isLast: false)),
        task(
            .detail,
            DenoiseWork(
                latent: latent(9), timestep: 999, guidance: 1, rescale: 0.7, timeIDs: [2048, 1024, 0, 8.5, 2048, 1024],
                switches: .plain)),
        task(.picture, PictureWork(width: 2, height: 1, rgb: [1, 2, 3, 4, 5, 6], mask: [0, 1])),
        task(.picture, PictureWork(width: 1, height: 2, rgb: [1, 2, 3, 4, 5, 6])),
        task(
            .denoise,
            DenoiseWork(latent: latent(9), timestep: 999, guidance: 2, timeIDs: (1...12).map(Float.init), switches: .plain)),
        task(.decode, DecodeWork(tile: 0, height: 1, width: 2048, isLast: true)),
        task(
            .decode,
            DecodeWork(tile: 3, corner: DecodeWork.Corner(top: 48, left: 0), height: 16, width: 16, isLast: true)),
    ]

    static let outputs: [TaskOutput] = [
        .embeddings(rows: 2, tokens: 3, width: 4, values: latent(1, 4, 2, 3).values),
        .embeddings(rows: 2, tokens: 1, width: 3, values: latent(4, 1, 2, 3).values, pooled: latent(5, 1, 2, 5).values),
        .prediction(latent(2)),
        .moments(latent(6, 8, 2, 2)),
        .pixels(width: 3, height: 2, rgb: (0..<18).map { UInt8($0 * 14) }),
        .moments(moments[0]),
    ]

    static let contexts: [JobContext] = [
        JobContext(modelIdentity: hash, conditioning: nil),
        JobContext(
            modelIdentity: hash,
            conditioning: JobContext.Conditioning(rows: 1, tokens: 2, width: 6, values: latent(3, 4, 1, 3).values)),
        JobContext(
            modelIdentity: hash,
            conditioning: JobContext.Conditioning(
                rows: 2, tokens: 1200, width: 1, values: latent(3, 4, 20, 30).values, pooled: latent(3, 1, 2, 4).values)),
        JobContext(modelIdentity: hash, tiles: .latent(latent(3, 4, 5, 7), tileHeight: 5, tileWidth: 2)),
        JobContext(modelIdentity: hash, tiles: .moments(moments, of: hash)),
    ]

    /// The moments of two norms with three groups.
    private static let moments = [
        GroupMoments(count: 1, means: [0, -1.5, 3e30], scatters: [0, 1e-300, 2e60]),
        GroupMoments(count: 1, means: [1, 2, 3], scatters: [4, 5, 6]),
    ]

    private static func parsed(_ metadata: JSONValue) throws -> JSONValue {
        try JSONValue(parsing: metadata.canonicalBytes(), limits: .wire)
    }

    private func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

    @Test(arguments: tasks) func aTaskComesBackBitForBit(_ task: RenderTask) throws {
        let encoded = task.encoded()
        let back = try RenderTask(metadata: Self.parsed(encoded.metadata), payload: encoded.payload)
        #expect(back == task)
        if let sent = task.work as? DenoiseWork, let received = back.work as? DenoiseWork {
            #expect(bits(sent.latent.values) == bits(received.latent.values))
            #expect(bits([sent.timestep, sent.guidance]) == bits([received.timestep, received.guidance]))
        }
        let again = back.encoded()
        #expect(again.payload == encoded.payload && again.metadata.canonicalBytes() == encoded.metadata.canonicalBytes())
    }

    @Test(arguments: outputs) func anOutputComesBackBitForBit(_ output: TaskOutput) throws {
        let encoded = output.encoded()
        let back = try TaskOutput(output.shape, metadata: Self.parsed(encoded.metadata), payload: encoded.payload)
        #expect(back == output)
        #expect(back.encoded().payload == encoded.payload)
    }

    @Test(arguments: contexts) func aContextComesBackWithItsHash(_ context: JobContext) throws {
        let encoded = context.encoded()
        let back = try JobContext(metadata: Self.parsed(encoded.metadata), payload: encoded.payload)
        #expect(back == context && back.hash == context.hash)
    }

    @Test func theHashTellsContextsApart() {
        func context(_ rows: Int, _ tokens: Int, _ width: Int, first: Float) -> SHA256Digest {
            var values = [Float](repeating: 1, count: rows * tokens * width)
            values[0] = first
            return JobContext(
                modelIdentity: Self.hash,
                conditioning: JobContext.Conditioning(rows: rows, tokens: tokens, width: width, values: values)
            ).hash
        }
        func pooled(_ width: Int) -> SHA256Digest {
            JobContext(
                modelIdentity: Self.hash,
                conditioning: JobContext.Conditioning(
                    rows: 1, tokens: 1, width: 24 - width, values: [Float](repeating: 1, count: 24 - width),
                    pooled: [Float](repeating: 1, count: width))
            ).hash
        }
        let hashes = [
            context(1, 4, 6, first: 1), context(2, 2, 6, first: 1), context(1, 6, 4, first: 1), context(1, 4, 6, first: 2),
            Self.contexts[0].hash, pooled(3), pooled(4),
        ]
        #expect(Set(hashes).count == hashes.count)
    }

    /// Numbers are f32, little endian, in planar order: what any other program would write.
    @Test func payloadsAreLittleEndianFloats() {
        let latent = Latent(channels: 1, height: 1, width: 2, values: [1, -2.5])
        let work = DenoiseWork(latent: latent, timestep: 1, guidance: 1, switches: .plain)
        #expect(Self.task(.denoise, work).encoded().payload == [0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0])
        let context = JobContext(modelIdentity: Self.hash, tiles: .latent(latent, tileHeight: 1, tileWidth: 1))
        #expect(context.encoded().payload == [0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0])
    }

    /// The very bytes that other versions read and write, one task of each kind and its answer.
    @Test func theFormOnTheWireIsFixed() {
        let latent = Latent(channels: 1, height: 1, width: 2, values: [1, -2.5])
        let numbers: [UInt8] = [0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0]
        let common = #""context":"\#(Self.hash.hex)","#
        let tasks: [(RenderPhase, any TaskWork, text: String, payload: [UInt8])] = [
            (
                .encode, EncodeWork(ids: [[[7]], [[8]]], skippedLayers: 1),
                #"{\#(common)"ids":[[7]],"ids_2":[[8]],"index":840,"phase":"encode","skip":1,"step":24}"#, []
            ),
            (
                .picture, PictureWork(width: 2, height: 1, rgb: [1, 2, 3, 4, 5, 6], mask: [0, 1]),
                #"{\#(common)"height":1,"index":840,"masked":true,"phase":"picture","step":24,"width":2}"#,
                [1, 2, 3, 4, 5, 6, 0, 1]
            ),
            (
                .detail,
                DenoiseWork(
                    latent: latent, timestep: 999, guidance: 7.5, rescale: 0.5, timeIDs: [1, 2, 0, 0.5, 1, 2],
                    switches: UNetSwitches(rad: true, windowShifts: [3, 0])),
                #"{"channels":1,\#(common)"guidance":7.5,"height":1,"index":840,"phase":"detail","pool":false,"rad":true,"#
                    + #""rescale":0.5,"shifts":[3,0],"step":24,"time_ids":[1.0,2.0,0.0,0.5,1.0,2.0],"timestep":999.0,"width":2}"#,
                numbers
            ),
            (
                .decode, DecodeWork(tile: 5, section: 2, height: 1, width: 2, isLast: false),
                #"{\#(common)"height":1,"index":840,"last":false,"phase":"decode","section":2,"step":24,"tile":5,"width":2}"#,
                []
            ),
            (
                .decode,
                DecodeWork(tile: 5, corner: DecodeWork.Corner(top: 12, left: 24), height: 1, width: 2, isLast: true),
                #"{\#(common)"height":1,"index":840,"last":true,"left":24,"phase":"decode","step":24,"tile":5,"top":12,"width":2}"#,
                []
            ),
        ]
        for (phase, work, text, payload) in tasks {
            let encoded = Self.task(phase, work).encoded()
            #expect(String(decoding: encoded.metadata.canonicalBytes(), as: UTF8.self) == text)
            #expect(encoded.payload == payload)
        }
        let outputs: [(TaskOutput, text: String, payload: [UInt8])] = [
            (
                .embeddings(rows: 1, tokens: 1, width: 1, values: [1], pooled: [-2.5]),
                #"{"kind":"embeddings","pooled":1,"rows":1,"tokens":1,"width":1}"#, numbers
            ),
            (
                .embeddings(rows: 2, tokens: 1, width: 1, values: [1, -2.5]),
                #"{"kind":"embeddings","rows":2,"tokens":1,"width":1}"#, numbers
            ),
            (.moments(latent), #"{"channels":1,"height":1,"kind":"moments","width":2}"#, numbers),
            (.prediction(latent), #"{"channels":1,"height":1,"kind":"prediction","width":2}"#, numbers),
            (.pixels(width: 1, height: 1, rgb: [1, 2, 3]), #"{"height":1,"kind":"pixels","width":1}"#, [1, 2, 3]),
        ]
        for (output, text, payload) in outputs {
            let encoded = output.encoded()
            #expect(String(decoding: encoded.metadata.canonicalBytes(), as: UTF8.self) == text)
            #expect(encoded.payload == payload)
        }
    }

    @Test func wrongMembersAreRefused() {
        let cases: [(task: Int, key: String, value: JSONValue?)] = [
            (0, "phase", "encode "), (0, "phase", nil), (0, "phase", "decode"), (2, "phase", "encode"), (0, "step", -1),
            (0, "step", .number(1)), (0, "index", 1_000_001), (0, "index", "0"), (0, "context", "ab"), (0, "context", .null),
            (0, "ids", []), (0, "ids", [[]]), (0, "ids", [[1], [1], [1]]), (0, "ids", [[-1]]), (0, "ids", [[2_147_483_648]]),
            (0, "ids", [["1"]]), (0, "ids", [[1, 2], [1]]), (0, "ids", nil), (0, "channels", 4), (2, "channels", 0),
            (2, "channels", 65), (2, "channels", 8), (2, "height", .integer(.max)), (2, "height", 2049), (2, "width", -5),
            (2, "width", nil), (2, "timestep", nil), (2, "timestep", .number(1e300)), (2, "guidance", "7"),
            (2, "rad", 1), (2, "pool", nil), (3, "shifts", [4]), (3, "shifts", [-1]), (3, "shifts", "0123"),
            (3, "shifts", .null), (3, "shifts", .array([JSONValue](repeating: 0, count: 1025))), (2, "surprise", 1),
            (5, "timestep", 1), (5, "ids", [[1]]), (0, "skip", nil), (0, "skip", -1), (0, "skip", 256),
            (1, "ids_2", [[1, 2, 3]]),
            (1, "ids_2", [[1], [2]]), (1, "ids_2", []), (1, "ids_3", [[1]]), (0, "ids_2", .null), (2, "rescale", nil),
            (2, "rescale", "0"), (2, "skip", 1), (6, "time_ids", []), (6, "time_ids", [1, 2, 3, 4, 5]),
            (6, "time_ids", [1, 2, 3, 4, 5, "6"]), (6, "time_ids", [1, 2, 3, 4, 5, 6, 7]), (6, "time_ids", .null),
            (6, "time_ids", [1, 2, 3, 4, 5, .number(1e300)]), (5, "time_ids", [1, 2, 3, 4, 5, 6]),
            (7, "masked", nil), (7, "masked", 1), (7, "masked", false), (8, "masked", true), (7, "width", 0), (7, "width", 4),
            (7, "height", 16385), (7, "height", .integer(.max)), (8, "ids", [[1]]), (8, "phase", "decode"),
            (9, "time_ids", .array([JSONValue](repeating: 1, count: 11))),
            (9, "time_ids", .array([JSONValue](repeating: 1, count: 13))),
            (9, "time_ids", .array([JSONValue](repeating: 1, count: 18))),
            (5, "tile", -1), (5, "tile", nil), (5, "section", 1001), (5, "section", .null), (5, "height", 0),
            (5, "width", 2049),
            (5, "last", nil), (5, "last", 0), (5, "channels", 4), (10, "section", -1), (10, "last", "true"),
        ]
        for (index, key, value) in cases {
            let encoded = Self.tasks[index].encoded()
            var object = encoded.metadata.objectValue ?? JSONObject()
            object[key] = value
            let error = refusal { _ = try RenderTask(metadata: .object(object), payload: encoded.payload) }
            #expect(error?.code == .malformed && error?.isSentence == true, "\(index) \(key) \(String(describing: error))")
        }
    }

    @Test func wrongOutputsAndContextsAreRefused() {
        let (pixels, text) = (
            OutputShape.pixels(width: 2, height: 2), OutputShape.embeddings(rows: 2, tokens: 1, width: 1, pooled: 0)
        )
        let (pooled, latent) = (
            OutputShape.embeddings(rows: 2, tokens: 1, width: 1, pooled: 2),
            OutputShape("prediction", channels: 4, height: 1, width: 1)
        )
        let cases: [(shape: OutputShape, metadata: JSONValue, bytes: Int)] = [
            (pixels, [:], 12), (pixels, .null, 12), (pixels, ["kind": "picture", "width": 2, "height": 2], 12),
            (pixels, ["kind": "pixels", "width": 2, "height": 2], 11),
            (pixels, ["kind": "pixels", "width": 2, "height": 2], 13),
            (pixels, ["kind": "pixels", "width": 1, "height": 4], 12),
            (pixels, ["kind": "pixels", "width": 0, "height": 2], 0),
            (pixels, ["kind": "pixels", "width": 2, "height": 2, "depth": 1], 12),
            (pixels, ["kind": "pixels", "width": .number(2), "height": 2], 12), (pixels, ["kind": "pixels", "width": 2], 12),
            (text, ["kind": "embeddings", "rows": 3, "tokens": 1, "width": 1], 12),
            (text, ["kind": "embeddings", "rows": 2, "tokens": 1, "width": 1], 12),
            (text, ["kind": "embeddings", "rows": 2, "tokens": 1, "width": .integer(.max)], 8),
            (text, ["kind": "embeddings", "rows": 2, "tokens": 1, "width": 1, "pooled": 0], 8),
            (text, ["kind": "embeddings", "rows": 2, "tokens": 1, "width": 1, "pooled": 1], 16),
            (pooled, ["kind": "embeddings", "rows": 2, "tokens": 1, "width": 1], 16),
            (pooled, ["kind": "embeddings", "rows": 2, "tokens": 1, "width": 1, "pooled": 1], 12),
            (pooled, ["kind": "embeddings", "rows": 2, "tokens": 1, "width": 1, "pooled": .integer(.max)], 8),
            (latent, ["kind": "prediction", "channels": 64, "height": 2048, "width": 2048], 16),
            (latent, ["kind": "prediction", "channels": 1, "height": 4, "width": 1], 16),
            (latent, ["kind": "moments", "channels": 4, "height": 1, "width": 1], 16),
        ]
        for (shape, metadata, bytes) in cases {
            let payload = [UInt8](repeating: 0, count: bytes)
            let error = refusal { _ = try TaskOutput(shape, metadata: metadata, payload: payload) }
            #expect(error?.code == .malformed && error?.isSentence == true, "\(metadata)")
        }
        let model = JSONValue.string(Self.hash.hex)
        let contexts: [(metadata: JSONValue, bytes: Int)] = [
            ([:], 0), (["model": "12"], 0), (["model": model], 4), (["model": model, "tokens": 1], 0),
            (["model": model, "rows": 1], 0), (["model": model, "rows": 3, "tokens": 1, "width": 1], 12),
            (["model": model, "rows": 1, "tokens": 1, "width": 1], 8),
            (["model": model, "rows": 2, "tokens": 1024, "width": 65537], 4),
            (["model": model, "rows": 1, "tokens": 1, "width": 1, "clip_skip": 2], 4),
            (["model": model, "rows": 1, "tokens": 1, "width": 1, "pooled": 0], 4),
            (["model": model, "rows": 1, "tokens": 1, "width": 1, "pooled": 2], 8), (["model": model, "pooled": 2], 0),
        ]
        for (metadata, bytes) in contexts {
            let payload = [UInt8](repeating: 0, count: bytes)
            #expect(refusal { _ = try JobContext(metadata: metadata, payload: payload) }?.code == .malformed, "\(metadata)")
        }
    }

    @Test func numbersThatAreNoneAreRefused() {
        for bad in [Float.nan, .infinity, -.infinity, Float(bitPattern: 0x7F80_0001)] {
            let payload = [1, bad].flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> ($0 * 8)) } }
            let shapes: [OutputShape] = [
                OutputShape("prediction", channels: 1, height: 1, width: 2),
                OutputShape("moments", channels: 2, height: 1, width: 1),
                .embeddings(rows: 1, tokens: 1, width: 2, pooled: 0), .embeddings(rows: 1, tokens: 1, width: 1, pooled: 1),
            ]
            for shape in shapes {
                let error = refusal { _ = try TaskOutput(shape, metadata: shape.metadata, payload: payload) }
                #expect(error?.code == .nonFinite && error?.isSentence == true)
            }
            let context: JSONValue = ["model": .string(Self.hash.hex), "rows": 1, "tokens": 1, "width": 2]
            #expect(refusal { _ = try JobContext(metadata: context, payload: payload) }?.code == .nonFinite)
        }
    }

    /// Damaged metadata and payloads are refused, or are read as something that can be written and read again. Nothing traps.
    @Test(arguments: 0..<4) func damageNeverTraps(_ seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let parts =
            Self.tasks.map { $0.encoded() } + Self.outputs.map { $0.encoded() } + Self.contexts.map { $0.encoded() }
        let firstOutput = Self.tasks.count
        var (refused, accepted) = (0, 0)
        for round in 0..<1500 {
            let part = parts[round % parts.count]
            let output = round % parts.count - firstOutput
            let shape = Self.outputs[Self.outputs.indices.contains(output) ? output : 0].shape
            var text = part.metadata.canonicalBytes()
            var payload = part.payload
            if round % 3 != 0 { text = Mutation.mutate(text, using: &generator) }
            if round % 3 != 1 { payload = Mutation.mutate(payload, using: &generator) }
            guard let metadata = try? JSONValue(parsing: text, limits: .wire) else {
                refused += 1
                continue
            }
            let results: [Bool] = [
                try survives { try RenderTask(metadata: metadata, payload: payload).encoded() },
                try survives { try TaskOutput(shape, metadata: metadata, payload: payload).encoded() },
                try survives { try JobContext(metadata: metadata, payload: payload).encoded() },
            ]
            if results.contains(true) { accepted += 1 } else { refused += 1 }
            // A message that was accepted holds exactly the payload that came.
            for body in [
                { try RenderTask(metadata: metadata, payload: payload).encoded().payload },
                { try TaskOutput(shape, metadata: metadata, payload: payload).encoded().payload },
            ] where (try? body()) != nil { #expect(try body() == payload) }
        }
        #expect(refused > 500 && accepted > 50, "\(refused) refused, \(accepted) accepted")
    }

    /// Whether the damaged message was accepted; errors of another kind than the module's own come through.
    private func survives(_ body: () throws -> (metadata: JSONValue, payload: [UInt8])) throws -> Bool {
        do {
            let encoded = try body()
            _ = encoded.metadata.canonicalBytes()
            return true
        } catch let error as RenderError {
            #expect([.malformed, .nonFinite].contains(error.code) && error.isSentence, "\(error)")
            return false
        }
    }
}
