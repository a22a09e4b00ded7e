import Foundation
import ImageFiles
import ImageQuality
import Testing

/// Pictures that a model rendered, against what was seen in them. `patchloom-bench repetition` reads the same folder.
@Suite struct LabelledPictureTests {
    private struct Picture {
        var name: String
        var enlargement: Double
        var repeats: Bool
        var image: RGBImage
    }

    private func pictures() throws -> [Picture] {
        let folder = try #require(Bundle.module.url(forResource: "Thumbnails", withExtension: nil))
        let text = try String(contentsOf: folder.appendingPathComponent("labels.txt"), encoding: .utf8)
        return try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let words = line.split(separator: " ").map(String.init)
            let file = try PNGDecoder.decode(file: folder.appendingPathComponent(words[0]).path)
            return Picture(
                name: words[0], enlargement: try #require(Double(words[1])), repeats: words[2] == "repeats",
                image: RGBImage(width: file.width, height: file.height, rgb: file.rgb))
        }
    }

    @Test func theScoreTellsRepetitionsFromSingleSubjects() throws {
        let pictures = try pictures()
        #expect(pictures.count { $0.repeats } >= 24)
        #expect(pictures.count { !$0.repeats } >= 11)
        let wrong = pictures.filter { picture in
            (Repetition.score(picture.image, enlargement: picture.enlargement) > Repetition.threshold) != picture.repeats
        }
        // The known miss: one mass of mane that fills the picture.
        #expect(wrong.map(\.name) == ["plain-lion-1.png"])
    }
}
