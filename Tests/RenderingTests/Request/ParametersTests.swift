import ContentHash
import Foundation
import StrictJSON
import Testing

@testable import Rendering

/// The text of generation parameters, read as A1111's web UI reads it.
@Suite struct ParametersTests {
    private struct Read {
        var prompt = ""
        var negative = ""
        var values: [String: String] = [:]

        /// The reader's rule: the last line is `Key: value` pairs if it has three or more, and from the line that starts with
        /// "Negative prompt:" on the text is the negative prompt.
        init(_ text: String) throws {
            var lines = text.trimmingCharacters(in: .whitespacesAndNewlines).components(separatedBy: "\n")
            let last = lines.removeLast()
            let pairs = try Self.pairs(last)
            if pairs.count < 3 { lines.append(last) } else { values = pairs }
            var isNegative = false
            for line in lines {
                var line = line.trimmingCharacters(in: .whitespaces)
                if line.hasPrefix("Negative prompt:") {
                    isNegative = true
                    line = String(line.dropFirst("Negative prompt:".count)).trimmingCharacters(in: .whitespaces)
                }
                if isNegative {
                    negative += (negative.isEmpty ? "" : "\n") + line
                } else {
                    prompt += (prompt.isEmpty ? "" : "\n") + line
                }
            }
        }

        private static func pairs(_ line: String) throws -> [String: String] {
            let pattern = #"\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)"#
            let expression = try NSRegularExpression(pattern: pattern)
            var values: [String: String] = [:]
            for match in expression.matches(in: line, range: NSRange(line.startIndex..., in: line)) {
                guard let key = Range(match.range(at: 1), in: line), let value = Range(match.range(at: 2), in: line) else {
                    continue
                }
                values[String(line[key])] = try unquoted(String(line[value]))
            }
            return values
        }

        private static func unquoted(_ value: String) throws -> String {
            guard value.hasPrefix("\""), value.hasSuffix("\""), value.count > 1 else { return value }
            return try #require(JSONValue(parsing: Array(value.utf8), limits: .config).stringValue)
        }
    }

    private func parameters(_ request: RenderRequest, model: ModelDescription) throws -> GenerationParameters {
        GenerationParameters(request: request, plan: try RenderMachine(request: request, model: model).plan, model: model)
    }

    @Test func promptsAndSettingsComeBack() throws {
        let model = try ModelVariant.embedded.get()
        let prompts = [
            "a red apple", "apple, pear: \"ripe\", 50% (1.2) [x y] \\ /", "first line\nsecond line, with: a colon\nthird",
            "🍎🍐 manzana roja, 赤いりんご: \u{65}\u{301}", "a: 1, b: 2, c: 3, d: 4", "",
        ]
        for prompt in prompts {
            for negative in ["", "blurry, ugly: bad", "two\nlines 🍋"] {
                let request = request {
                    ($0.prompt, $0.negativePrompt, $0.steps, $0.seed, $0.width) = (prompt, negative, 9, .max, 520)
                    ($0.guidanceScale, $0.eta) = (6.5, 0.25)
                }
                let read = try Read(parameters(request, model: model).text)
                #expect(read.prompt == prompt && read.negative == negative)
                let values = read.values
                #expect(values["Steps"] == "9" && values["Sampler"] == "DDIM" && values["CFG scale"] == "6.5")
                #expect(values["Seed"] == "18446744073709551615" && values["Size"] == "520x512" && values["RNG"] == "CPU")
                #expect(values["Eta DDIM"] == "0.25" && values["Method"] == "cut" && values["Patch"] == "128x128")
                #expect(values["Model hash"] == String(model.identity.hex.prefix(10)) && values["Model"] == "openmoji-24")
                #expect(values["HiDiffusion"] == "off" && values["Structure steps"] == "4" && values["Stride"] == "64")
            }
        }
    }

    @Test func anyModelNameComesBack() throws {
        for name in [
            "my model, v2: final", "\"quoted\"", "say \"hi\"", "line\nbreak", "dos\r\nbreak", "accent ,\u{301} on a comma",
            "back\\slash, and \"both\"", "emoji 🍎: yes", "tab\there",
        ] {
            let model = try ModelDescription(source: ModelVariant.source(name: name, [:]))
            let text = try parameters(RenderRequest(), model: model).text
            #expect(try Read(text).values["Model"].map { Array($0.utf8) } == Array(name.utf8), "\(text)")
            #expect(try Read(text).values["RNG"] == "CPU", "\(text)")
        }
        let deep = try ModelDescription(source: ModelVariant.source(name: "/models/sd/v1-5", [:]))
        #expect(try Read(parameters(RenderRequest(), model: deep).text).values["Model"] == "v1-5")
    }

    @Test func detailsHoldTheRequestAndThePlan() throws {
        let model = try ModelVariant.embedded.get()
        let request = request { ($0.prompt, $0.seed, $0.steps) = ("a\n🍎", .max, 5) }
        let details = try JSONValue(
            parsing: try parameters(request, model: model).details.canonicalBytes(), limits: .wire)
        #expect(try RenderRequest(metadata: #require(details["request"])) == request)
        #expect(details["plan"]?["method"] == "cut")
        #expect(details["model"]?["sha256"]?.stringValue == model.identity.hex)
    }
}
