import ContentHash
import Foundation
import StrictJSON

/// The distance of the reference packages' own bf16 from their f32, case by case: the larger one of two sets of kernels.
/// `deploy/bf16-records.py` measures it.
public struct ReferenceRecords: Sendable {
    /// One tensor's error in bf16.
    enum Error: Sendable, Equatable {
        /// The root mean square of the errors divided by that of the f32 values, and the largest absolute error.
        case reals(rms: Double, largest: Double)
        /// The share of whole numbers that differ: decisions that rounding has turned over.
        case integers(share: Double)
        /// The peak signal-to-noise ratio of a picture in 8 bits.
        case picture(decibels: Double)
    }

    struct Case: Sendable {
        /// SHA-256 of the case's expected tensors.
        let expected: SHA256Digest
        /// The errors by the tensor's name. bf16 leaves the other tensors as they are.
        let errors: [String: Error]
    }

    /// The records by the case's kind and name.
    private let cases: [String: Case]

    /// The records of the committed cases and of the full set.
    ///
    /// - Throws: `.failed` if the program's file is missing or damaged.
    public static func ofThisProgram() throws(GoldenError) -> ReferenceRecords {
        try ofProgram(in: Bundle.main.bundleURL.path)
    }

    /// The records of a program in a folder, where the build puts them. The package manager's own way to them traps if they are
    /// missing, as after a copy of the program alone.
    static func ofProgram(in folder: String) throws(GoldenError) -> ReferenceRecords {
        let path = "\(folder)/patchloom_GoldenCases.resources/bf16-records.json"
        guard FileManager.default.fileExists(atPath: path) else {
            throw .failed("\(path) is missing: use the program in the folder where it was built, or name records by --records")
        }
        return try ReferenceRecords(path: path)
    }

    /// - Throws: `.failed` for a file that cannot be read or is no file of records.
    public init(path: String) throws(GoldenError) {
        guard let data = FileManager.default.contents(atPath: path) else { throw .failed("\(path) cannot be read") }
        let json: JSONValue
        do { json = try JSONValue(parsing: [UInt8](data), limits: .config) } catch { throw .failed("\(path): \(error)") }
        guard let listed = json["cases"]?.objectValue else { throw .failed("\(path): \"cases\" must be an object") }
        var cases: [String: Case] = [:]
        for (name, record) in listed {
            cases[name] = try Case(Parameters(json: record, place: "\(path), \(name)"))
        }
        self.cases = cases
    }

    /// The record of a case; nil if nobody has measured a case of this name with these results.
    func record(of golden: GoldenCase) throws(GoldenError) -> Case? {
        let name = golden.folder.split(separator: "/").last.map(String.init) ?? ""
        guard let found = cases["\(golden.kind)/\(name)"] else { return nil }
        return try golden.expectedDigest() == found.expected ? found : nil
    }
}

extension ReferenceRecords.Case {
    fileprivate init(_ fields: Parameters) throws(GoldenError) {
        guard let digest = SHA256Digest(hex: try fields.string("expected")) else {
            throw .failed("\(fields.place): \"expected\" must be a SHA-256 in 64 hexadecimal digits")
        }
        guard let listed = try fields.value("errors").objectValue else {
            throw .failed("\(fields.place): \"errors\" must be an object")
        }
        var errors: [String: ReferenceRecords.Error] = [:]
        for (name, error) in listed {
            errors[name] = try ReferenceRecords.Error(Parameters(json: error, place: "\(fields.place), \(name)"))
        }
        self.init(expected: digest, errors: errors)
    }
}

extension ReferenceRecords.Error {
    fileprivate init(_ fields: Parameters) throws(GoldenError) {
        func number(_ key: String) throws(GoldenError) -> Double {
            let number = try fields.number(key)
            guard number > 0 else { throw .failed("\(fields.place): \"\(key)\" must be above 0") }
            return number
        }
        if fields.has("psnr") {
            self = .picture(decibels: try number("psnr"))
        } else if fields.has("differ") {
            self = .integers(share: try number("differ"))
        } else {
            self = .reals(rms: try number("rms"), largest: try number("max"))
        }
    }
}

// MARK: - Comparing with records

/// The distance of a bf16 result from the f32 result of the reference.
///
/// Two programs that compute in bf16 round at different places, so each has an error of its own of about the same size. A
/// result passes if its error is at most a fixed multiple of the reference's own error: it may be larger by chance, but a wrong
/// operation makes it larger by far. The errors of the reference's two sets of kernels, which differ in nothing but rounding,
/// differ by a factor of up to 1.2 for Stable Diffusion and 1.8 for SDXL, in one case 2.8: there one vector, the embedding of
/// sizes, carries most of the error.
enum RecordedComparison {
    /// The multiple for root mean squares and for shares of whole numbers.
    static let factor = 2.0
    /// The multiple for the largest error, which is one value of thousands and varies more.
    static let largestFactor = 2.5

    /// Compares a tensor.
    ///
    /// - Returns: the error as a multiple of the recorded one.
    /// - Throws: `.failed` with the error and the recorded one.
    static func check(
        _ name: String, actual: GoldenTensor, expected: GoldenTensor, recorded: ReferenceRecords.Error
    ) throws(GoldenError) -> Double {
        guard actual.shape == expected.shape else {
            throw .failed("\(name): shape \(actual.shape) was computed, \(expected.shape) is expected")
        }
        switch (actual.values, expected.values, recorded) {
        case (.reals(let a), .reals(let b), .reals(let rms, let largest)):
            let error = distance(a, b)
            guard error.rms <= factor * rms, error.largest <= largestFactor * largest else {
                throw .failed(
                    "\(name): the error is \(error.rms) of the values (root mean square) and \(error.largest) at most, "
                        + "the reference's own in bf16 \(rms) and \(largest)")
            }
            return error.rms / rms
        case (.integers(let a), .integers(let b), .integers(let share)):
            let wrong = Double(zip(a, b).count { $0 != $1 }) / Double(max(1, a.count))
            guard wrong <= factor * share else {
                throw .failed("\(name): \(wrong) of the whole numbers differ, in the reference's bf16 \(share)")
            }
            return wrong / share
        case (.integers(let a), .integers(let b), .picture(let decibels)):
            let reached = Comparison.decibels(a, b)
            guard reached >= decibels - 20 * log10(factor) else {
                throw .failed("\(name): a PSNR of \(reached) dB, where the reference's own bf16 has \(decibels)")
            }
            return pow(10, (decibels - reached) / 20)
        default:
            throw .failed("\(name): the record is for values of another kind")
        }
    }

    /// NaN and infinity give NaN or infinity, which no bound admits.
    private static func distance(_ a: [Double], _ b: [Double]) -> (rms: Double, largest: Double) {
        var (errors, power, largest) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            let error = abs(x - y)
            errors += error * error
            power += y * y
            if !(error <= largest) { largest = error }
        }
        return ((errors / power).squareRoot(), largest)
    }
}
