from django.urls import path
from rest_framework.routers import SimpleRouter

from .api import OrderViewSet, ProductViewSet, Quote

app_name = "orders"

router = SimpleRouter()
router.register("products", ProductViewSet, basename="product")
router.register("orders", OrderViewSet, basename="order")
urlpatterns = [path("quote/", Quote.as_view(), name="quote"), *router.urls]
