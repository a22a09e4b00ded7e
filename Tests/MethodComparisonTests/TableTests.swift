import ImageQuality
import Testing

@testable import MethodComparison

@Suite struct TableTests {
    static func picture(
        _ method: String, prompt: Int = 1, scale: Double = 2, wall: Double, repetition: Double = 0, peak: Int = 3 << 20,
        text: String = "an apple"
    ) -> ComparedPicture {
        let side = Int(128 * scale)
        return ComparedPicture(
            ComparedPicture.Subject(
                promptNumber: prompt, prompt: text, seed: 7, method: method, scale: scale, width: side, height: side),
            ComparedPicture.Cost(
                wallSeconds: wall, evaluations: 50, operations: 1_234_567_000_000, workerPeakBytes: peak, bytesOnWire: 1 << 19),
            PictureQuality(
                similarity: method == "native" ? nil : 0.5, sharpness: 12.25, seams: method == "cut" ? 1.5 : nil,
                repetition: repetition))
    }

    static let table = ComparisonTable(
        conditions: [("model", "m|n"), ("seed", "7")],
        pictures: [
            picture("native", scale: 1, wall: 1), picture("direct", wall: 10, repetition: 0.9), picture("cut", wall: 4),
            picture("native", prompt: 2, scale: 1, wall: 1, text: "two, \"three\""),
            picture("direct", prompt: 2, wall: 20, text: "two, \"three\""),
            picture("cut", prompt: 2, wall: 40, repetition: 0.9, peak: 5 << 20, text: "two, \"three\""),
            picture("cut", prompt: 2, scale: 4, wall: 80, peak: 0, text: "two, \"three\""),
            picture("cut", scale: 4, wall: 80, peak: 0),
        ])

    @Test func speedIsThatOfTheSamePromptAndSize() {
        let expected: [Double?] = [nil, 1, 2.5, nil, 1, 0.5, nil, nil]
        #expect(Self.table.pictures.map(Self.table.speed) == expected)
    }

    @Test func theCSVHasALineForEachPicture() {
        let lines = Self.table.csv.split(separator: "\r\n", omittingEmptySubsequences: false)
        #expect(lines.count == 10 && lines.last == "")
        let columns = lines[0].split(separator: ",")
        #expect(lines[3] == "1,an apple,7,cut,2,256,256,4.000,2.500,50,1.234567,3.0,0.500,0.5000,12.250,1.5000,0.0000,0")
        #expect(lines[3].split(separator: ",").count == columns.count)
        #expect(lines[1] == "1,an apple,7,native,1,128,128,1.000,,50,1.234567,3.0,0.500,,12.250,,0.0000,0")
        #expect(lines[6].hasPrefix("2,\"two, \"\"three\"\"\",7,cut,2,256,256,40.000,0.500,"))
        #expect(lines[6].hasSuffix(",0.9000,1"))
        #expect(lines[7].hasPrefix("2,\"two, \"\"three\"\"\",7,cut,4,512,512,80.000,,50,1.234567,,0.500,"))
    }

    @Test(arguments: [
        ("plain", "plain"), ("", ""), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("a\nb", "\"a\nb\""),
        ("a\r\nb", "\"a\r\nb\""),
        ("a,\u{301}b", "\"a,\u{301}b\""), ("é 日本", "é 日本"),
    ])
    func fieldsAreQuotedWhereTheyMustBe(_ text: String, _ field: String) {
        #expect(ComparisonTable.csvField(text) == field)
    }

    @Test func theMarkdownSumsUpOverPrompts() {
        let lines = Self.table.markdown.split(separator: "\n").map(String.init)
        #expect(lines.contains("- model: m\\|n"))
        // Medians of 10 and 20, 4 and 40; speeds 2.5 and 0.5.
        #expect(
            lines.contains { $0.hasPrefix("| direct | 2× | 256×256 | 2 | 15.00 | 1.00× | 50 | 1.235 | 3 | 0.50 | 0.500 | ") })
        #expect(
            lines.contains(
                "| cut | 2× | 256×256 | 2 | 22.00 | 1.50× | 50 | 1.235 | 5 | 0.50 | 0.500 | 12.3 | 1.500 | 0.450 | 1 of 2 |"))
        #expect(
            lines.contains {
                $0.hasPrefix("| cut | 4× | 512×512 | 2 | 80.00 | – | 50 | 1.235 | – |") && $0.hasSuffix("| 0 of 2 |")
            })
        #expect(lines.contains { $0.hasPrefix("| native | 1× | 128×128 | 2 | 1.00 | – |") })
        #expect(lines.contains("1. an apple") && lines.contains("2. two, \"three\""))
        #expect(lines.contains { $0.hasPrefix("| 2 | cut | 2× | 256×256 | 40.00 | 0.50× |") && $0.hasSuffix("| yes |") })
        // Every line of a table has as many fields as its head.
        for line in lines where line.hasPrefix("| ") { #expect(line.split(separator: " | ").count == 15, "\(line)") }
    }

    /// Without the last picture, one method has the second prompt only.
    @Test func onlyPromptsThatAllMethodsHaveAreSummedUp() {
        let stopped = ComparisonTable(conditions: [], pictures: Self.table.pictures.dropLast())
        let lines = stopped.markdown.split(separator: "\n").map(String.init)
        for (method, rest) in [
            ("native | 1× | 128×128", "1 | 1.00"), ("direct | 2× | 256×256", "1 | 20.00"), ("cut | 2× | 256×256", "1 | 40.00"),
            ("cut | 4× | 512×512", "1 | 80.00"),
        ] {
            #expect(lines.contains { $0.hasPrefix("| \(method) | \(rest) |") }, "\(method)")
        }
        // Every picture still has its line.
        #expect(lines.contains { $0.hasPrefix("| 1 | cut | 2× | 256×256 | 4.00 |") })
        #expect(ComparisonTable(conditions: [], pictures: []).groups.isEmpty)
    }

    @Test(arguments: [
        ("a apple", "a apple"), ("=1+1", "'=1+1"), ("+a", "'+a"), ("-a", "'-a"), ("@a", "'@a"), ("=\u{301}a", "'=\u{301}a"),
        ("\t=a", "'\t=a"), ("", ""), ("a=b", "a=b"),
    ])
    func noTextIsAFormula(_ prompt: String, _ field: String) {
        #expect(ComparisonTable.text(prompt) == field)
        let table = ComparisonTable(conditions: [], pictures: [Self.picture("cut", wall: 1, text: prompt)])
        #expect(table.csv.contains("1,\(field),7,cut,"))
    }

    @Test(arguments: [
        ("- a", "\\- a"), ("+ a", "\\+ a"), ("===", "\\==="), ("12. a", "12\\. a"), ("3) a", "3\\) a"), ("12 a", "12 a"),
        ("a - b + 1. c", "a - b + 1. c"), ("&amp; ~~b~~ ![x] $c$", "\\&amp; \\~\\~b\\~\\~ \\!\\[x\\] \\$c\\$"),
        ("    a", "a"), ("a\u{2028}b\u{2029}c\u{85}d\u{0}e\u{B}f", "a b c d e f"), (" \n", ""),
        ("1234567890. a", "1234567890. a"),
        ("#\u{301}", "\\#\u{301}"),
    ])
    func noTextBeginsAList(_ text: String, _ cell: String) {
        #expect(ComparisonTable.cell(text) == cell)
    }

    @Test func nothingInAPromptMeansAnythingToMarkdown() {
        #expect(
            ComparisonTable.cell("a|b\\c\nd<e> `f` *g* _h_ [i] #j")
                == "a\\|b\\\\c d\\<e\\> \\`f\\` \\*g\\* \\_h\\_ \\[i\\] \\#j")
    }

    @Test func repeatingIsBeyondTheThreshold() {
        #expect(!Self.picture("cut", wall: 1, repetition: Repetition.threshold).quality.isRepeating)
        #expect(Self.picture("cut", wall: 1, repetition: Repetition.threshold.nextUp).quality.isRepeating)
    }

    @Test func mediansAndMeans() {
        #expect(Statistics.median([]) == nil && Statistics.mean([]) == nil)
        #expect(Statistics.median([3, 1, 2]) == 2 && Statistics.median([4, 1, 2, 9]) == 3)
        #expect(Statistics.mean([1, 2, 6]) == 3)
    }

    @Test(
        arguments: [
            (1.25, 1, "1.3"), (-0.001, 2, "0.00"), (-1.5, 1, "-1.5"), (2, 0, "2"), (0.05, 1, "0.1"), (.nan, 2, "?"),
            (.infinity, 0, "?"),
            (1e15, 3, "?"), (9.999, 2, "10.00"),
        ] as [(Double, Int, String)])
    func numbersAsText(_ value: Double, _ digits: Int, _ text: String) {
        #expect(Decimal.fixed(value, digits: digits) == text)
    }

    @Test func shortNumbers() {
        let texts = [2, 1.5, 1.2344, 100, 0].map { (value: Double) -> String in Decimal.short(value) }
        #expect(texts == ["2", "1.5", "1.234", "100", "0"])
    }
}
