/// One picture of a comparison.
public struct ComparedPicture: Sendable, Equatable {
    /// What was asked for.
    public struct Subject: Sendable, Equatable {
        /// Counted from 1.
        public var promptNumber: Int
        public var prompt: String
        public var seed: UInt64
        /// The recipe's name, or `ComparedPicture.native`.
        public var method: String
        /// How many times the model's native side.
        public var scale: Double
        /// In pixels.
        public var width: Int
        public var height: Int

        public init(promptNumber: Int, prompt: String, seed: UInt64, method: String, scale: Double, width: Int, height: Int) {
            (self.promptNumber, self.prompt, self.seed) = (promptNumber, prompt, seed)
            (self.method, self.scale, self.width, self.height) = (method, scale, width, height)
        }
    }

    /// What it took.
    public struct Cost: Sendable, Equatable {
        /// From the order to the picture.
        public var wallSeconds: Double
        /// U-Net evaluations of single images, as planned.
        public var evaluations: Int
        /// Multiplications and additions, counted.
        public var operations: Int
        /// The most memory that a worker's process held; 0 where the system does not say.
        public var workerPeakBytes: Int
        /// Both ways.
        public var bytesOnWire: Int

        public init(wallSeconds: Double, evaluations: Int, operations: Int, workerPeakBytes: Int, bytesOnWire: Int) {
            (self.wallSeconds, self.evaluations, self.operations) = (wallSeconds, evaluations, operations)
            (self.workerPeakBytes, self.bytesOnWire) = (workerPeakBytes, bytesOnWire)
        }
    }

    /// The method of the pictures that all others are held against: `direct` at the model's native size.
    public static let native = "native"

    public let subject: Subject
    public let cost: Cost
    public let quality: PictureQuality

    public init(_ subject: Subject, _ cost: Cost, _ quality: PictureQuality) {
        (self.subject, self.cost, self.quality) = (subject, cost, quality)
    }

    var isNative: Bool { subject.method == Self.native }
}
