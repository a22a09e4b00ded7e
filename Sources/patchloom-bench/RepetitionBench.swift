import ArgumentParser
import Foundation
import ImageFiles
import ImageQuality

/// `patchloom-bench repetition DIR`: how often the repetition score agrees with people's labels of pictures.
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
        var tally = Tally()
        for picture in pictures {
            let image = try ImageDecoder.decode(file: root.appendingPathComponent(picture.path).path)
            let score = Repetition.score(
                RGBImage(width: image.width, height: image.height, rgb: image.rgb), enlargement: picture.enlargement)
            let isRight = tally.count(score > Repetition.threshold, picture.repeats)
            print(
                column(picture.path, 40), decimal(score, 3), picture.repeats ? "repeats" : "single ",
                isRight ? "" : picture.repeats ? "MISSED" : "FALSE ALARM")
        }
        print(tally.line)
    }

    private struct Tally {
        var single = 0
        var repeating = 0
        var falseAlarms = 0
        var misses = 0

        /// Counts a verdict. Returns whether it agrees with the label.
        mutating func count(_ verdict: Bool, _ label: Bool) -> Bool {
            if label {
                repeating += 1
                misses += verdict ? 0 : 1
            } else {
                single += 1
                falseAlarms += verdict ? 1 : 0
            }
            return verdict == label
        }

        var line: String {
            "\(falseAlarms) false alarms in \(single) single, \(misses) misses in \(repeating) repeating pictures, threshold "
                + decimal(Repetition.threshold, 2)
        }
    }
}
