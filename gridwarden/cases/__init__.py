"""The life of grid events: which alarm joins which case, and what people do with it. Pure."""
