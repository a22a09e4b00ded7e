extension ComparisonTable {
    /// One measured figure of a picture: a column in every table.
    struct Figure: Sendable {
        /// The columns' names in Markdown and in CSV.
        let title: String
        let csvName: String
        /// The decimals in Markdown and in CSV.
        let digits: Int
        let csvDigits: Int
        let unit: String
        /// The figure of several pictures together.
        let summary: @Sendable ([Double]) -> Double?
        /// The figure of a picture; nil if it has none.
        let value: @Sendable (ComparisonTable, ComparedPicture) -> Double?

        /// Text for Markdown.
        func text(_ value: Double?) -> String { value.map { Decimal.fixed($0, digits: digits) + unit } ?? "–" }

        init(
            _ title: String, _ csvName: String, _ digits: Int, csv csvDigits: Int, unit: String = "",
            _ summary: @escaping @Sendable ([Double]) -> Double?,
            _ value: @escaping @Sendable (ComparisonTable, ComparedPicture) -> Double?
        ) {
            (self.title, self.csvName, self.unit) = (title, csvName, unit)
            (self.digits, self.csvDigits, self.summary, self.value) = (digits, csvDigits, summary, value)
        }
    }

    /// All figures, in the order of their columns.
    static let figures = [
        Figure("wall s", "wall_s", 2, csv: 3, Statistics.median) { $1.cost.wallSeconds },
        Figure("speed", "times_direct_speed", 2, csv: 3, unit: "×", Statistics.median) { $0.speed($1) },
        Figure("U-Net evaluations", "unet_evaluations", 0, csv: 0, Statistics.median) { Double($1.cost.evaluations) },
        Figure("TFLOP", "tflop", 3, csv: 6, Statistics.mean) { Double($1.cost.operations) / 1e12 },
        Figure("memory MiB", "worker_peak_mib", 0, csv: 1, { $0.max() }) {
            $1.cost.workerPeakBytes > 0 ? Double($1.cost.workerPeakBytes) / 1_048_576 : nil
        },
        Figure("wire MiB", "wire_mib", 2, csv: 3, Statistics.median) { Double($1.cost.bytesOnWire) / 1_048_576 },
        Figure("similarity", "similarity_to_native", 3, csv: 4, Statistics.mean) { $1.quality.similarity },
        Figure("sharpness", "sharpness", 1, csv: 3, Statistics.mean) { $1.quality.sharpness },
        Figure("seams", "seam_score", 3, csv: 4, Statistics.mean) { $1.quality.seams },
        Figure("repetition", "repetition_score", 3, csv: 4, Statistics.mean) { $1.quality.repetition },
    ]
}
