import Rendering
import StrictJSON
import TestSupport
import Testing

/// Tasks, outputs and contexts come from other machines: a written message is read back, and a damaged one is refused.
@Suite struct WireTests {
    private struct Written: Sendable {
        let kind: Int
        /// The shape of the output that answers the task.
        let shape: OutputShape
        let metadata: JSONValue
        let payload: [UInt8]
    }

    private static func everything() throws -> [Written] {
        let machine = try RenderMachine(
            request: .square(256, steps: 3) { ($0.patch, $0.stride, $0.method) = (192, 192, .cut) },
            model: try #require(MachineTests.model))
        let (barriers, _) = try FormulaNetwork.render(machine)
        return try barriers.flatMap { barrier -> [Written] in
            let task = barrier.tasks[barrier.tasks.count - 1]
            let output = try FormulaNetwork.run(task)
            return [task.encoded(), output.encoded(), barrier.context.encoded()].enumerated().map {
                Written(kind: $0, shape: output.shape, metadata: $1.metadata, payload: $1.payload)
            }
        }
    }

    /// Reads a message of a kind and writes it again.
    private func rewritten(
        _ message: Written, _ metadata: JSONValue, _ payload: [UInt8]
    ) throws(RenderError) -> (JSONValue, [UInt8]) {
        switch message.kind {
        case 0: try RenderTask(metadata: metadata, payload: payload).encoded()
        case 1: try TaskOutput(message.shape, metadata: metadata, payload: payload).encoded()
        default: try JobContext(metadata: metadata, payload: payload).encoded()
        }
    }

    @Test func whatIsWrittenIsReadBack() throws {
        let messages = try Self.everything()
        #expect(Set(messages.map(\.kind)).count == 3 && messages.count > 10)
        for message in messages {
            let bytes = message.metadata.canonicalBytes()
            let (metadata, payload) = try rewritten(message, JSONValue(parsing: bytes, limits: .wire), message.payload)
            #expect(metadata.canonicalBytes() == bytes && payload == message.payload)
        }
    }

    @Test func everyMissingOrWrongMemberIsRefused() throws {
        for message in try Self.everything() {
            let object = try #require(message.metadata.objectValue)
            for key in object.keys where key != "shifts" {
                for replacement in [nil, JSONValue.null, .string("x"), .integer(-1), .object(JSONObject())] {
                    // Timesteps and guidance are any finite numbers.
                    if ["timestep", "guidance", "rescale"].contains(key), replacement?.intValue != nil { continue }
                    var changed = object
                    changed[key] = replacement
                    let error = renderError { _ = try rewritten(message, .object(changed), message.payload) }
                    #expect(error?.code == .malformed, "\(key) as \(replacement?.canonicalText ?? "nothing")")
                }
            }
        }
    }

    @Test func payloadsMustHaveTheirLengthAndFiniteNumbers() throws {
        for message in try Self.everything() {
            let longer = renderError { _ = try rewritten(message, message.metadata, message.payload + [0, 0, 0, 0]) }
            #expect(longer?.code == .malformed)
            guard !message.payload.isEmpty, message.metadata["kind"]?.stringValue != "pixels" else { continue }
            let shorter = renderError { _ = try rewritten(message, message.metadata, Array(message.payload.dropLast())) }
            #expect(shorter?.code == .malformed)
            var infinite = message.payload
            infinite.replaceSubrange(0..<4, with: [0, 0, 0x80, 0x7F])
            #expect(renderError { _ = try rewritten(message, message.metadata, infinite) }?.code == .nonFinite)
        }
    }

    /// Random damage: an error or a message that reads the same again, never a trap.
    @Test func damagedMessagesAreRefusedOrConsistent() throws {
        let messages = try Self.everything()
        var generator = SeededGenerator(seed: 20)
        var (refused, read) = (0, 0)
        for round in 0..<3000 {
            let message = messages[round % messages.count]
            let bytes = Mutation.mutate(message.metadata.canonicalBytes(), using: &generator)
            guard let metadata = try? JSONValue(parsing: bytes, limits: .wire) else { continue }
            do {
                let (again, payload) = try rewritten(message, metadata, message.payload)
                let (third, _) = try rewritten(message, again, payload)
                #expect(third == again)
                read += 1
            } catch { refused += 1 }
        }
        #expect(refused > 100 && read > 10, "\(refused) refused, \(read) read")
    }
}
