"""Wire-level simulators of QKD instruments and the physical world that they share."""

INSTRUMENTS = {
    "hubersuhner.polatis": "qhal_simulators.instruments.hubersuhner.polatis:Polatis",
    "idquantique.id900": "qhal_simulators.instruments.idquantique.id900:Id900",
    "ozoptics.dd100": "qhal_simulators.instruments.ozoptics.dd100:Dd100",
    "purephotonics.ppcl550": "qhal_simulators.instruments.purephotonics.ppcl550:Ppcl550",
    "singlequantum.websq": "qhal_simulators.instruments.singlequantum.websq:WebSq",
    "tektronix.awg5014": "qhal_simulators.instruments.tektronix.awg5014:Awg5014",
    "thorlabs.mpc320": "qhal_simulators.instruments.thorlabs.mpc320:Mpc320",
    "thorlabs.pm100d": "qhal_simulators.instruments.thorlabs.pm100d:Pm100d",
}
