import Foundation
import ImageFiles
import ImageQuality
import Testing

/// Pictures that a model rendered, against people's labels. `patchloom-bench repetition` reads the same folder.
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
        return try PictureLabel.list(text).map { label in
            let file = try ImageDecoder.decode(file: folder.appendingPathComponent(label.path).path)
            return Picture(
                name: label.path, enlargement: label.enlargement, repeats: label.repeats,
                image: RGBImage(width: file.width, height: file.height, rgb: file.rgb))
        }
    }

    @Test func linesOfLabels() throws {
        let labels = try PictureLabel.list("# seen by eye\r\n\na.png 4 repeats\nb.png 1.5 single twice looked at\n")
        #expect(
            labels == [
                PictureLabel(path: "a.png", enlargement: 4, repeats: true),
                PictureLabel(path: "b.png", enlargement: 1.5, repeats: false),
            ])
        for line in [
            "a.png", "a.png 4", "a.png four single", "a.png 0 single", "a.png 65 single", "a.png nan single", "a.png 4 two",
        ] {
            #expect(throws: PictureLabel.Malformed(line: 2)) { try PictureLabel.list("#\n\(line)") }
        }
    }

    @Test func theScoreTellsRepetitionsFromSingleSubjects() throws {
        let pictures = try pictures()
        #expect(pictures.count { $0.repeats } >= 24)
        #expect(pictures.count { !$0.repeats } >= 11)
        let wrong = pictures.filter { picture in
            (Repetition.score(picture.image, enlargement: picture.enlargement) > Repetition.threshold) != picture.repeats
        }
        // The known miss: one mass of mane fills the picture.
        #expect(wrong.map(\.name) == ["plain-lion-1.png"])
    }
}
