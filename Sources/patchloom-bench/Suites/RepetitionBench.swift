import ArgumentParser
import Foundation
import ImageFiles
import ImageQuality
import MethodComparison

/// `patchloom-bench repetition DIR`: compares the repetition score with people's labels of pictures.
struct RepetitionBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repetition",
        abstract: "Holds the repetition score against pictures that were labelled by eye.",
        discussion: """
            The folder has pictures and a labels.txt, whose lines name a file, how many times larger than the model's \
            native side its picture is, and what was seen: repeats or single. Lines that begin with # are comments. Each \
            picture is printed with its score, those that are judged wrongly are marked, and the last line counts false \
            alarms and misses.
            """)

    @Argument(help: "A folder of pictures with a labels.txt.") var folder: String

    func run() throws {
        let root = URL(fileURLWithPath: folder)
        let text = try String(contentsOf: root.appendingPathComponent("labels.txt"), encoding: .utf8)
        let pictures = try PictureLabel.list(text)
        /// The labels of pictures that are judged wrongly.
        var wrong: [Bool] = []
        for picture in pictures {
            let image = try ImageDecoder.decode(file: root.appendingPathComponent(picture.path).path)
            let score = Repetition.score(
                RGBImage(width: image.width, height: image.height, rgb: image.rgb), enlargement: picture.enlargement)
            let isRight = (score > Repetition.threshold) == picture.repeats
            if !isRight { wrong.append(picture.repeats) }
            print(
                column(picture.path, 40), Decimal.fixed(score, digits: 3), picture.repeats ? "repeats" : "single ",
                isRight ? "" : picture.repeats ? "MISSED" : "FALSE ALARM")
        }
        let (repeating, misses) = (pictures.count { $0.repeats }, wrong.count { $0 })
        print(
            "\(wrong.count - misses) false alarms in \(pictures.count - repeating) single, \(misses) misses in \(repeating) "
                + "repeating pictures, threshold \(Decimal.fixed(Repetition.threshold, digits: 2))")
    }
}
