import Foundation
import ImageFiles
import StrictJSON
import Testing

extension SingleCommands {
    /// `--seed`: 64 bits without sign, anything negative for a random one.
    @Suite struct SeedTests {
        private static func run(_ arguments: [String], in folder: Folder) async throws -> Program {
            let program = try Program(arguments, in: folder)
            defer { program.end() }
            _ = try await program.wait()
            return program
        }

        /// The seed that `plan` prints.
        private static func planned(_ seed: String, in folder: Folder) async throws -> UInt64 {
            let program = try await run(["plan", "-p", "a red apple", "-s", seed, "--json"], in: folder)
            #expect(program.ending?.code == 0, "\(program.errorLines)")
            let text = program.outputLines.joined(separator: "\n")
            let plan = try JSONValue(parsing: Array(text.utf8), limits: .config)
            return try #require(plan["seed"]?.stringValue.flatMap { UInt64($0) })
        }

        private static let numbers: [(String, UInt64)] = [
            ("0", 0), ("-0", 0), ("007", 7), ("9223372036854775807", 0x7FFF_FFFF_FFFF_FFFF),
            ("9223372036854775808", 0x8000_0000_0000_0000), ("18446744073709551614", 0xFFFF_FFFF_FFFF_FFFE),
            ("18446744073709551615", 0xFFFF_FFFF_FFFF_FFFF),
        ]

        @Test(arguments: numbers)
        func numbersOf64BitsAreTaken(text: String, number: UInt64) async throws {
            #expect(try await Self.planned(text, in: Folder()) == number)
        }

        @Test(arguments: [
            "-1", "-9223372036854775808", "-9223372036854775809", "-18446744073709551616",
            "-" + String(repeating: "9", count: 60),
        ])
        func negativeOnesOfAnySizeAreRandom(text: String) async throws {
            let folder = try Folder()
            var drawn: Set<UInt64> = []
            for _ in 0..<4 { drawn.insert(try await Self.planned(text, in: folder)) }
            // Four draws of 32 bits that are all equal mean that nothing is drawn.
            #expect(drawn.count > 1 && drawn.allSatisfy { $0 <= UInt64(UInt32.max) })
        }

        @Test(arguments: [
            "18446744073709551616", "1e3", "0x10", "4.0", "", " 7", "-", "--1", "-1.5", "-x", "seed", "１２",
            "99999999999999999999999999",
        ])
        func othersAreRefusedWithTheRange(text: String) async throws {
            try await Self.expectRefused(["plan", "-p", "a red apple", "--seed", text], in: Folder())
        }

        @Test(arguments: [
            ["render"], ["submit", "--coordinator", "tcp://127.0.0.1:9"], ["compare"],
        ])
        func everyCommandRefusesThem(command: [String]) async throws {
            let folder = try Folder()
            for text in ["18446744073709551616", "0x10"] {
                try await Self.expectRefused(
                    command + ["-p", "a red apple", "--seed=\(text)", "-o", folder.file("a.png")], in: folder)
            }
            #expect(folder.names.isEmpty)
        }

        private static func expectRefused(_ command: [String], in folder: Folder) async throws {
            let program = try await run(command, in: folder)
            let said = program.errorLines.joined(separator: "\n")
            #expect(program.ending?.code == 64 && program.errorLines.count == 1, "\(command): \(said)")
            #expect(said.contains("0 to 18446744073709551615") && said.contains("--seed"), "\(command): \(said)")
        }

        /// Torch's stream begins with the low 32 bits of a seed, so smaller seeds draw these pictures too. The picture's text
        /// holds the whole number.
        @Test func pictureAndSummaryTellTheWholeNumber() async throws {
            let folder = try Folder()
            var pixels: [UInt64: [UInt8]] = [:]
            let (low, high): (UInt64, UInt64) = (5, 1 << 63 + 5)
            for seed in [low, high, 1 << 63 - 1, .max] {
                let file = folder.file("\(seed).png")
                let program = try await Self.run(
                    [
                        "render", "-p", "a red apple", "-W", "64", "-H", "64", "--method", "direct", "--steps", "1",
                        "--workers", "1",
                        "--json", "-s", "\(seed)", "-o", file,
                    ], in: folder)
                #expect(program.ending?.code == 0, "\(program.errorLines)")
                let line = try #require(program.outputLines.last)
                #expect(line.contains("\"seed\":\(seed),"), "\(line)")
                #expect(try JSONValue(parsing: Array(line.utf8), limits: .config)["seed"]?.wholeValue == seed)
                let image = try ImageDecoder.decode(file: file)
                #expect(try #require(image.text("parameters")).contains("Seed: \(seed), "))
                pixels[seed] = image.pixels
            }
            #expect(pixels[low] == pixels[high] && pixels[1 << 63 - 1] == pixels[.max] && pixels[low] != pixels[.max])
        }

        @Test func aBatchEndsWithTheLastSeed() async throws {
            let folder = try Folder()
            let options = ["-p", "a red apple", "-W", "64", "-H", "64", "--method", "direct", "--steps", "1", "--workers", "1"]
            let last = try await Self.run(
                ["render"] + options + ["-b", "2", "-s", "18446744073709551614", "-o", folder.file("a.png")], in: folder)
            #expect(last.ending?.code == 0, "\(last.errorLines)")
            let second = try ImageDecoder.decode(file: folder.file("a_2.png"))
            #expect(try #require(second.text("parameters")).contains("Seed: 18446744073709551615, "))

            let beyond = try await Self.run(
                ["render"] + options + ["-b", "3", "-s", "18446744073709551614", "-o", folder.file("b.png")], in: folder)
            #expect(beyond.ending?.code == 64 && beyond.errorLines.count == 1, "\(beyond.errorLines)")
            #expect(beyond.errorLines.joined().contains("18446744073709551615"))
            #expect(!folder.names.contains { $0.hasPrefix("b") })
        }
    }
}
