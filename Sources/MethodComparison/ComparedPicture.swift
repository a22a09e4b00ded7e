/// One picture of a comparison.
public struct ComparedPicture: Sendable, Equatable {
    /// The requested picture.
    public struct Subject: Sendable, Equatable {
        /// Counted from 1.
        public var promptNumber: Int
        public var prompt: String
        public var seed: UInt64
        /// The recipe's name, or `ComparedPicture.native`.
        public var method: String
        /// The ratio to the model's native side.
        public var scale: Double
        /// The size in pixels.
        public var width: Int
        public var height: Int

        public init(promptNumber: Int, prompt: String, seed: UInt64, method: String, scale: Double, width: Int, height: Int) {
            (self.promptNumber, self.prompt, self.seed) = (promptNumber, prompt, seed)
            (self.method, self.scale, self.width, self.height) = (method, scale, width, height)
        }
    }

    /// The cost of the picture.
    public struct Cost: Sendable, Equatable {
        /// The seconds from the submission to the picture.
        public var wallSeconds: Double
        /// U-Net evaluations of single images, from the plan.
        public var evaluations: Int
        /// Multiplications and additions, counted.
        public var operations: Int
        /// The most memory of a worker's process; 0 if the system does not say.
        public var workerPeakBytes: Int
        /// The bytes in both directions.
        public var bytesOnWire: Int

        public init(wallSeconds: Double, evaluations: Int, operations: Int, workerPeakBytes: Int, bytesOnWire: Int) {
            (self.wallSeconds, self.evaluations, self.operations) = (wallSeconds, evaluations, operations)
            (self.workerPeakBytes, self.bytesOnWire) = (workerPeakBytes, bytesOnWire)
        }
    }

    /// The method of the pictures that all others are compared with: `direct` at the model's native size.
    public static let native = "native"

    public let subject: Subject
    public let cost: Cost
    public let quality: PictureQuality

    public init(_ subject: Subject, _ cost: Cost, _ quality: PictureQuality) {
        (self.subject, self.cost, self.quality) = (subject, cost, quality)
    }

    var isNative: Bool { subject.method == Self.native }
}
