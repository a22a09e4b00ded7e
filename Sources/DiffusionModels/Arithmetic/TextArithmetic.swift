extension CLIPTextConfiguration {
    /// Multiplications and additions of encoding rows of tokens by formula, as `ComputeContext.operations` counts them.
    public func operations(rows: Int, tokens: Int, isProjected: Bool) -> Double {
        let (width, tokens) = (Double(hiddenSize), Double(tokens))
        // Tokens see those before them.
        let attention = tokens * (tokens + 1) / 2 * 2 * width
        let layer = tokens * (4 * width * width + 2 * width * Double(intermediateSize)) + attention
        return 2 * Double(rows) * (Double(layerCount) * layer + (isProjected ? width * Double(projectionSize) : 0))
    }
}
