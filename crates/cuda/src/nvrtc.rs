use crate::images::Image;
pub(crate) fn compile(_: &Image, _: (u32, u32)) -> Result<Vec<u8>, azr_transformer::DeviceError> {
    Err(azr_transformer::DeviceError::Failed(String::new()))
}
