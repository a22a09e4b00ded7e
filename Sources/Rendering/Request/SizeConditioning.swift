/// SDXL's size conditioning in pixels, with diffusers' names.
public struct SizeConditioning: Sendable, Equatable {
    /// Sides of a picture.
    public struct Size: Sendable, Equatable {
        public var width: Int
        public var height: Int

        public init(width: Int, height: Int) { (self.width, self.height) = (width, height) }
    }

    /// The place of the picture's upper left corner in the original.
    public struct Corner: Sendable, Equatable {
        public var top: Int
        public var left: Int

        public init(top: Int, left: Int) { (self.top, self.left) = (top, left) }
    }

    public var originalSize: Size
    public var cropTopLeft: Corner
    public var targetSize: Size

    package init(originalSize: Size, cropTopLeft: Corner, targetSize: Size) {
        (self.originalSize, self.cropTopLeft, self.targetSize) = (originalSize, cropTopLeft, targetSize)
    }

    /// The six numbers of the U-Net's time ids. `corner` is the corner of a view of the detail phase.
    func timeIDs(corner: Corner? = nil) -> [Float] {
        let corner = corner ?? cropTopLeft
        return [originalSize.height, originalSize.width, corner.top, corner.left, targetSize.height, targetSize.width].map {
            Float($0)
        }
    }
}
