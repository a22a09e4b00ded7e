import Messages
import Places
import StrictJSON
import TestSupport
import Testing

@Suite("Packets")
struct PacketTests {
    @Test("every type comes back as it was, with its address", arguments: SampleMessages.all)
    func roundTrip(_ message: Message) throws {
        let packet = Packet(message, SampleMessages.address)
        let frames = try packet.frames()
        #expect(frames.count == 3)
        #expect(frames[0].count == 128)
        #expect(try Packet(frames: frames, frameCount: 3) == packet)
    }

    @Test("lease numbers of all 64 bits come back")
    func largeLeases() throws {
        guard case .hello(var hello) = SampleMessages.hello else { throw MessageError(.field, "no hello") }
        hello.worker?.heldLeases = [1, 1 << 53 + 1, 1 << 63, .max]
        let packet = Packet(.hello(hello), SampleMessages.address)
        #expect(try Packet(frames: packet.frames(), frameCount: 3) == packet)
    }

    @Test("a progress that was read is written as the same number again")
    func progressIsStable() throws {
        var numbers = SeededGenerator(seed: 4)
        for _ in 0..<2000 {
            let elapsed = Double.random(in: 0...10, using: &numbers)
            let progress = JobProgress(
                Place(phase: "detail", step: 3, stepCount: 25), tasksDone: 4, tasksTotal: 9, workers: 2,
                elapsed: .seconds(elapsed), estimatedRemaining: nil)
            let first = try Packet(
                frames: Packet(.jobEvent(.progress(progress)), SampleMessages.address).frames(), frameCount: 3)
            #expect(try Packet(frames: first.frames(), frameCount: 3) == first)
        }
    }

    @Test("the samples cover every type")
    func samplesCoverTypes() {
        let types = Set(SampleMessages.all.map(\.type))
        #expect(types == Set(MessageType.allCases))
    }

    @Test("any single damaged byte is noticed")
    func damage() throws {
        let packet = Packet(SampleMessages.all[10], SampleMessages.address)
        let frames = try packet.frames()
        for frame in 0..<3 {
            for position in frames[frame].indices {
                var damaged = frames
                damaged[frame][position] ^= 0x10
                #expect(throws: MessageError.self) { try Packet(frames: damaged, frameCount: 3) }
            }
        }
    }

    @Test("each refusal carries its code")
    func refusals() throws {
        let frames = try Packet(.ping).frames()
        func code(_ change: (inout [[UInt8]]) -> Void, count: Int? = nil) -> MessageError.Code? {
            var changed = frames
            change(&changed)
            do throws(MessageError) {
                _ = try Packet(frames: changed, frameCount: count ?? changed.count)
                return nil
            } catch { return error.code }
        }
        #expect(code({ $0.removeLast() }) == .frameCount)
        #expect(code({ $0.append([]) }) == .frameCount)
        #expect(code({ _ in }, count: 400) == .frameCount)
        #expect(code({ $0[0].removeLast() }) == .length)
        #expect(code({ $0[0][0] = 0 }) == .magic)
        #expect(code({ $0[0][4] = 2 }) == .version)
        #expect(code({ $0[0][40] = 1 }) == .checksum)
        #expect(code({ $0[1] = [0x7B, 0x7D] }) == .length)
        #expect(code({ $0[2] = [0] }) == .length)
    }

    @Test("header fields that no checksum catches are refused by themselves")
    func resealedHeaders() throws {
        let frames = try Packet(.ping).frames()
        func code(at offset: Int, _ value: UInt8) -> MessageError.Code? {
            var changed = frames
            changed[0][offset] = value
            HeaderSeal.seal(&changed[0])
            do throws(MessageError) {
                _ = try Packet(frames: changed, frameCount: 3)
                return nil
            } catch { return error.code }
        }
        #expect(code(at: 6, 63) == .type)
        #expect(code(at: 7, 2) == .field)
        #expect(code(at: 92, 1) == .field)
        #expect(code(at: 15, 0x7F) == .length)
        #expect(code(at: 23, 0xFF) == .length)
        var ignorable = frames
        ignorable[0][6] = 63
        ignorable[0][7] = 1
        HeaderSeal.seal(&ignorable[0])
        #expect(throws: MessageError(.ignorable, "message type 63 is unknown")) { try Packet(frames: ignorable, frameCount: 3) }
    }

    @Test("what passes a limit is not sent")
    func limitsWhenSending() {
        let long = JSONValue.string(String(repeating: "x", count: WireLimits.metadataBytes))
        #expect(throws: MessageError.self) {
            try Packet(.submit(Submit(request: EncodedPart(metadata: ["p": long]), model: nil))).frames()
        }
        let payload = [UInt8](repeating: 0, count: WireLimits.payloadBytes + 1)
        #expect(throws: MessageError.self) {
            try Packet(.jobOpen(JobOpen(context: SampleMessages.digest, content: EncodedPart(metadata: [:], payload: payload))))
                .frames()
        }
    }

    @Test(
        "metadata is read strictly",
        arguments: [
            "[]", "{}", "{\"code\":\"busy\",\"text\":\"x\"}", "{\"code\":\"nonsense\",\"text\":\"x\",\"retry_after_ms\":0}",
            "{\"code\":\"busy\",\"text\":7,\"retry_after_ms\":0}", "{\"code\":\"busy\",\"text\":\"x\",\"retry_after_ms\":-1}",
            "{\"code\":\"busy\",\"text\":\"x\",\"retry_after_ms\":1e99}",
            "{\"code\":\"busy\",\"code\":\"busy\",\"text\":\"x\",\"retry_after_ms\":0}",
        ])
    func strictMetadata(_ text: String) throws {
        #expect(throws: MessageError.self) {
            try Packet(frames: HeaderSeal.frames(.refuse, metadata: Array(text.utf8)), frameCount: 3)
        }
    }

    @Test(
        "what a task took is read strictly: no count is missing, negative or beyond its limit",
        arguments: [
            ("operations", nil), ("operations", -1), ("operations", (1 << 56) + 1), ("peak_bytes", nil), ("peak_bytes", -1),
            ("peak_bytes", (1 << 50) + 1), ("peak_activation_bytes", nil), ("peak_activation_bytes", .min),
            ("peak_activation_bytes", .max),
        ] as [(String, Int64?)])
    func strictCounts(_ key: String, _ value: Int64?) throws {
        var object = JSONObject()
        for (key, value) in [
            ("compute_us", 1), ("wire_us", 1), ("operations", 1 << 56), ("peak_bytes", 1 << 50), ("peak_activation_bytes", 0),
        ] as [(String, Int64)] { object[key] = .integer(value) }
        object["output"] = [:]
        func read() throws -> Packet {
            let metadata = JSONValue.object(object).canonicalBytes()
            return try Packet(frames: HeaderSeal.frames(.result, metadata: metadata), frameCount: 3)
        }
        _ = try read()
        object[key] = value.map { .integer($0) }
        let error = #expect(throws: MessageError.self) { try read() }
        #expect(error?.message.contains("'\(key)'") == true)
    }

    @Test("unknown metadata keys are skipped, so that a peer of a newer minor version can be refused")
    func unknownKeys() throws {
        let text = "{\"code\":\"busy\",\"retry_after_ms\":0,\"text\":\"x\",\"tomorrow\":[1]}"
        let packet = try Packet(frames: HeaderSeal.frames(.refuse, metadata: Array(text.utf8)), frameCount: 3)
        #expect(packet.message == .refuse(Refuse(.busy, "x")))
    }

    @Test("damage under the old checksums is a refusal or changes nothing", arguments: 0..<8)
    func brokenSeals(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var depths: [FrameDamage.Depth: Int] = [:]
        for round in 0..<400 {
            let packet = Packet(SampleMessages.all[round % SampleMessages.all.count], SampleMessages.address)
            let (depth, read) = FrameDamage.depth(FrameDamage.broken(try packet.frames(), using: &random))
            // An edit may put the same byte in its place again, and an empty frame has nothing to damage.
            if let read { #expect(read == packet) }
            depths[depth, default: 0] += 1
        }
        #expect(depths[.behindTheSeal] == nil && depths[.atTheSeal, default: 0] > 200, "\(depths)")
    }

    @Test("damage under honest checksums reaches the decoders, and traps none", arguments: 0..<40)
    func resealedDamage(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: 100 + seed)
        var depths: [FrameDamage.Depth: Int] = [:]
        for round in 0..<250 {
            let frames = try Packet(SampleMessages.all[round % SampleMessages.all.count], SampleMessages.address).frames()
            let (depth, read) = FrameDamage.depth(FrameDamage.resealed(frames, using: &random))
            if let read { #expect(try Packet(frames: read.frames(), frameCount: 3) == read) }
            depths[depth, default: 0] += 1
        }
        // A decoder of a payload tells a wrong length as the seal does, so some of these came behind it too.
        #expect(depths[.behindTheSeal, default: 0] > 60 && depths[.read, default: 0] > 25, "\(depths)")
    }
}
